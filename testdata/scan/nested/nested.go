// Package nested has maps inside maps, slices and structs.
package nested

import "sync"

//gocc:racy RacyInner: the outer map is protected, the inner one is not
type RacyInner struct {
	mu    sync.RWMutex
	users map[string]map[string]int
}

func (r *RacyInner) Bump(user, key string) {
	r.mu.RLock()
	inner := r.users[user]
	r.mu.RUnlock()
	inner[key]++
}

func (r *RacyInner) AddUser(user string) {
	r.mu.Lock()
	r.users[user] = map[string]int{}
	r.mu.Unlock()
}

//gocc:correct CorrectInner: the lock is held for the inner one, too
type CorrectInner struct {
	mu    sync.RWMutex
	users map[string]map[string]int
}

func (r *CorrectInner) Bump(user, key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	inner := r.users[user]
	if inner == nil {
		inner = map[string]int{}
		r.users[user] = inner
	}
	inner[key]++
}

//gocc:racy RacyShard: one shard is used by all goroutines
func RacyShard(n int) {
	shards := []map[int]int{{}, {}}
	var wg sync.WaitGroup
	for i := 0; i < n; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			shards[0][i] = i
		}()
	}
	wg.Wait()
}

//gocc:correct CorrectShards: a shard for each goroutine
func CorrectShards(n int) {
	shards := make([]map[int]int, n)
	var wg sync.WaitGroup
	for i := 0; i < n; i++ {
		shards[i] = map[int]int{}
		wg.Add(1)
		go func() {
			defer wg.Done()
			shards[i][1] = i
		}()
	}
	wg.Wait()
}

//gocc:correct CorrectShardLocks: each shard has its lock
type CorrectShardLocks struct {
	shards [4]shard
}

type shard struct {
	mu sync.Mutex
	m  map[int]int
}

func (c *CorrectShardLocks) Add(k int) {
	s := &c.shards[k%4]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		s.m = map[int]int{}
	}
	s.m[k]++
}

//gocc:racy RacySession: the session found under the lock has a map of its own without one
type RacySession struct {
	mu       sync.Mutex
	sessions map[string]*session
}

type session struct {
	values map[string]string
}

func (r *RacySession) Set(id, k, v string) {
	r.mu.Lock()
	s, ok := r.sessions[id]
	if !ok {
		s = &session{values: map[string]string{}}
		r.sessions[id] = s
	}
	r.mu.Unlock()
	s.values[k] = v
}

//gocc:correct CorrectSession: the session locks its own map
type CorrectSession struct {
	mu       sync.Mutex
	sessions map[string]*lockedSession
}

type lockedSession struct {
	mu     sync.Mutex
	values map[string]string
}

func (r *CorrectSession) Set(id, k, v string) {
	r.mu.Lock()
	s, ok := r.sessions[id]
	if !ok {
		s = &lockedSession{values: map[string]string{}}
		r.sessions[id] = s
	}
	r.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[k] = v
}

//gocc:racy RacyReturnedInner: an accessor hands the inner map out of the lock
type RacyReturnedInner struct {
	mu    sync.Mutex
	rooms map[string]map[string]bool
}

func (r *RacyReturnedInner) members(room string) map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rooms[room] == nil {
		r.rooms[room] = map[string]bool{}
	}
	return r.rooms[room]
}

func (r *RacyReturnedInner) Join(room, who string) { r.members(room)[who] = true }

//gocc:correct CorrectReturnedCopy: the accessor hands out a copy
type CorrectReturnedCopy struct {
	mu    sync.Mutex
	rooms map[string]map[string]bool
}

func (r *CorrectReturnedCopy) Members(room string) map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]bool{}
	for who := range r.rooms[room] {
		out[who] = true
	}
	return out
}

func (r *CorrectReturnedCopy) Join(room, who string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rooms[room] == nil {
		r.rooms[room] = map[string]bool{}
	}
	r.rooms[room][who] = true
	out := r.rooms[room]
	_ = len(out)
}
