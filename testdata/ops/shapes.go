package main

// Operations as they occur in programs: nested maps, maps in interfaces and structs, methods that are
// inlined, closures, deferred and started calls.

//go:noinline
func opNested() (sum int) {
	for i := 0; i < n; i++ {
		if mNested["outer"] == nil {
			mNested["outer"] = map[string]int{}
		}
		mNested["outer"]["inner"] = i
		sum += mNested["outer"]["inner"]
	}
	return
}

//go:noinline
func opPointerValue() {
	for i := 0; i < n; i++ {
		mPtrVal["p"].id += i // a read: the assignment goes through the pointer
	}
}

//go:noinline
func opElementOfValue() (sum int) {
	for i := 0; i < n; i++ {
		sum += mArrVal["a"][i%4]
	}
	return
}

//go:noinline
func opInterface(v any) (sum int) {
	for i := 0; i < n; i++ {
		v.(map[string]int)["boxed"] = i
		sum += v.(map[string]int)["boxed"]
	}
	return
}

//go:noinline
func opSet() (sum int) {
	for i := 0; i < n; i++ {
		mEmpty.set[key(i)] = struct{}{}
		if _, ok := mEmpty.set[key(i)]; ok {
			sum++
		}
	}
	return
}

type cache map[string]int

// Small enough to be inlined; the innermost frame is still this method.
func (c cache) opInlinedPut(k string, v int) { c[k] = v }
func (c cache) opInlinedGet(k string) int    { return c[k] }

//go:noinline
func useInlined(c cache) (sum int) {
	for i := 0; i < n; i++ {
		c.opInlinedPut("k", i)
		sum += c.opInlinedGet("k")
	}
	return
}

//go:noinline
func opClosure(m map[string]int) func() int {
	return func() int {
		m["closure"]++
		return m["closure"]
	}
}

//go:noinline
func call(f func() int) int { return f() }

//go:noinline
func callPut(f func(string, int)) { f("method value", n) }

func shapeSections() {
	mix(uint64(opNested()))
	// n times: nil check, outer read, outer read; once an assignment of the outer map
	expect("opNested", "read", n+n+2*n)
	expect("opNested", "assign", 1+n)
	mPtrVal["p"] = &named{}
	mArrVal["a"] = [4]int{1, 2, 3, 4}
	opPointerValue()
	expect("opPointerValue", "read", n)
	mix(uint64(opElementOfValue()))
	expect("opElementOfValue", "read", n)
	boxed := map[string]int{}
	mix(uint64(opInterface(boxed)))
	expect("opInterface", "read", n)
	expect("opInterface", "assign", n)
	mix(uint64(opSet()))
	expect("opSet", "assign", n)
	expect("opSet", "read", n)
	c := cache(boxed)
	mix(uint64(useInlined(c)))
	expect("cache.opInlinedPut", "assign", n+1)
	expect("cache.opInlinedGet", "read", n)
	callPut(c.opInlinedPut)
	counter := opClosure(boxed)
	for i := 0; i < n; i++ {
		mix(uint64(call(counter)))
	}
	expectOpAssign("opClosure", n)
	expect("opClosure", "read", n)
	mix(uint64(mPtrVal["p"].id))
	expect("shapeSections", "assign", 2)
	expect("shapeSections", "read", 1)
	generics = append(generics, boxed)
}

// Maps that never leave the function lie on the goroutine's stack: no event.

//go:noinline
func privateSmall() (sum int) {
	m := map[string]int{}
	for i := 0; i < n; i++ {
		m["a"] = i
		m["b"] += i
		sum += m["a"]
	}
	for _, v := range m {
		sum += v
	}
	delete(m, "a")
	return sum + len(m)
}

//go:noinline
func privateGrown() (sum int) {
	m := make(map[int]int, 4)
	for i := 0; i < 50; i++ {
		m[i] = i
	}
	for k, v := range m {
		sum += k + v
	}
	return sum
}

//go:noinline
func privateCallee(m map[int]int, i int) int {
	m[i] = i
	return m[i] + len(m)
}

//go:noinline
func privateCaller() (sum int) {
	m := map[int]int{}
	for i := 0; i < n; i++ {
		sum += privateCallee(m, i)
	}
	return sum
}

func privateSections() {
	mix(uint64(privateSmall()))
	mix(uint64(privateGrown()))
	mix(uint64(privateCaller()))
}
