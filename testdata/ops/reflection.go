package main

import "reflect"

//go:noinline
func opReflectIndex(str, num reflect.Value) (sum int64) {
	for i := 0; i < n; i++ {
		sum += str.MapIndex(reflect.ValueOf(key(i))).Int()
		sum += num.MapIndex(reflect.ValueOf(uint32(i))).Int()
		if str.MapIndex(reflect.ValueOf("missing")).IsValid() {
			sum++
		}
	}
	return
}

//go:noinline
func opReflectSet(str, num reflect.Value) {
	for i := 0; i < n; i++ {
		str.SetMapIndex(reflect.ValueOf(key(i)), reflect.ValueOf(i))
		num.SetMapIndex(reflect.ValueOf(uint32(i)), reflect.ValueOf(i))
	}
}

//go:noinline
func opReflectDelete(str, num reflect.Value) {
	for i := 0; i < n; i++ {
		str.SetMapIndex(reflect.ValueOf(key(i)), reflect.Value{})
		num.SetMapIndex(reflect.ValueOf(uint32(i)), reflect.Value{})
	}
}

//go:noinline
func opReflectRange(m reflect.Value) (sum int64) {
	iter := m.MapRange()
	for iter.Next() {
		sum += iter.Value().Int() + int64(iter.Key().Len())
	}
	return
}

//go:noinline
func opReflectKeys(m reflect.Value) (sum int) {
	for _, k := range m.MapKeys() {
		sum += k.Len()
	}
	return
}

//go:noinline
func opReflectEmpty(m reflect.Value) int {
	count := len(m.MapKeys())
	iter := m.MapRange()
	for iter.Next() {
		count++
	}
	return count
}

// Newer compilers keep a map on the stack that only reflect.ValueOf sees.
var (
	reflectStr map[string]int
	reflectNum map[uint32]int
)

func reflectSections() {
	reflectStr, reflectNum = map[string]int{}, map[uint32]int{}
	str, num := reflect.ValueOf(reflectStr), reflect.ValueOf(reflectNum)
	opReflectSet(str, num)
	expect("opReflectSet", "assign", 2*n)
	mix(uint64(opReflectIndex(str, num)))
	expect("opReflectIndex", "read", 3*n)
	mix(uint64(opReflectRange(str)))
	expect("opReflectRange", "iterate", n+1)
	mix(uint64(opReflectKeys(str)))
	expect("opReflectKeys", "iterate", n+1)
	reflectNum[1000] = 1
	reflectStr["stays"] = 1
	expect("reflectSections", "assign", 2)
	opReflectDelete(str, num)
	expect("opReflectDelete", "delete", 2*n)
	delete(reflectStr, "stays")
	expect("reflectSections", "delete", 1)
	mix(uint64(opReflectEmpty(str)))
	expectEmptyRange("opReflectEmpty", 2)
}
