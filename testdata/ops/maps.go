package main

import "unsafe"

type pair struct{ a, b uint16 } // hashed as 4 bytes of memory: the fast32 functions
type named struct {             // a generic key: hash and == are functions of its own
	id   int
	name string
}
type big [200]byte    // more than 128 bytes: stored indirectly, the slow functions
type huge [2000]byte  // more than the runtime's zero value: the _fat functions
type bigKey [160]byte // more than 128 bytes: the key is stored indirectly

type speaker interface{ speak() string }
type dog struct{ name string }
type cat int

func (d dog) speak() string { return d.name }
func (c cat) speak() string { return "cat" }

// The maps live here, on the heap. There is no map with the fast32ptr functions: they are for 4-byte
// pointers, which amd64 has not.
var (
	m32     map[uint32]int
	mPair   map[pair]int
	m64     map[int64]int
	mPtr    map[*int]int
	mChan   map[chan int]int
	mUnsafe map[unsafe.Pointer]int
	mStr    map[string]int
	mNamed  map[named]int
	mFloat  map[float64]int
	mAny    map[any]int
	mSpeak  map[speaker]int
	mArray  map[[3]int]int
	mByte   map[byte]int
	mBool   map[bool]int
	mCplx   map[complex128]int
	mBig    map[uint32]big
	mHuge   map[string]huge
	mBigKey map[bigKey]int
	mSlice  map[string][]int
	mNested map[string]map[string]int
	mPtrVal map[string]*named
	mArrVal map[string][4]int
	mEmpty  struct {
		set map[string]struct{}
	}

	pointers []*int
	channels []chan int
)

func bigKeyOf(i int) (k bigKey) {
	k[0], k[159] = byte(i), byte(i>>8)
	return k
}
