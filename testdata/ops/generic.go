package main

type registry[K comparable, V any] struct{ entries map[K]V }

//go:noinline
func (r *registry[K, V]) opGenericMethod(k K, v V) V {
	r.entries[k] = v
	return r.entries[k]
}

//go:noinline
func opGenericSum[K comparable, V int | int64](m map[K]V) (sum V) {
	for _, v := range m {
		sum += v
	}
	return
}

//go:noinline
func opGenericSwap[K comparable, V any](m map[K]V, a, b K) {
	m[a], m[b] = m[b], m[a]
}

//go:noinline
func opGenericDrop[M ~map[K]V, K comparable, V any](m M, k K) {
	delete(m, k)
}

type table map[named]int64

func genericSections() {
	byName, byNum, byStruct := &registry[string, int]{map[string]int{}},
		&registry[uint32, []int]{map[uint32][]int{}}, &registry[named, int64]{map[named]int64{}}
	generics = append(generics, byName, byNum, byStruct)
	for i := 0; i < n; i++ {
		mix(uint64(byName.opGenericMethod(key(i), i)))
		mix(uint64(len(byNum.opGenericMethod(uint32(i), []int{i}))))
		mix(uint64(byStruct.opGenericMethod(named{i, "g"}, int64(i))))
	}
	expect("(*registry).opGenericMethod", "assign", 3*n)
	expect("(*registry).opGenericMethod", "read", 3*n)
	mix(uint64(opGenericSum(byName.entries)) + uint64(opGenericSum(byStruct.entries)))
	expect("opGenericSum", "iterate", 2*(n+1))
	opGenericSwap(byName.entries, "key-0", "x")
	opGenericSwap(byNum.entries, 0, 1)
	expect("opGenericSwap", "read", 4)
	expect("opGenericSwap", "assign", 4)
	opGenericDrop(table(byStruct.entries), named{0, "g"})
	opGenericDrop(byName.entries, "x")
	expect("opGenericDrop", "delete", 2)
	mix(uint64(len(byName.entries) + len(byStruct.entries)))
}

var generics []any
