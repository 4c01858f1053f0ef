package edgewise

import "container/list"

// recent is a map that forgets the entry that has not been asked for longest.
type recent[K comparable, V any] struct {
	limit int
	drop  func(V) // called with what is forgotten; may be nil
	order *list.List
	items map[K]*list.Element
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

func newRecent[K comparable, V any](limit int, drop func(V)) *recent[K, V] {
	return &recent[K, V]{limit: limit, drop: drop, order: list.New(), items: map[K]*list.Element{}}
}

func (r *recent[K, V]) get(k K) (v V, ok bool) {
	e, ok := r.items[k]
	if !ok {
		return v, false
	}
	r.order.MoveToFront(e)
	return e.Value.(entry[K, V]).value, true
}

// put adds an entry that is not there yet.
func (r *recent[K, V]) put(k K, v V) {
	r.items[k] = r.order.PushFront(entry[K, V]{k, v})
	for len(r.items) > r.limit {
		last := r.order.Back()
		e := r.order.Remove(last).(entry[K, V])
		delete(r.items, e.key)
		if r.drop != nil {
			r.drop(e.value)
		}
	}
}

// clear forgets everything.
func (r *recent[K, V]) clear() {
	for e := r.order.Front(); e != nil; e = e.Next() {
		if r.drop != nil {
			r.drop(e.Value.(entry[K, V]).value)
		}
	}
	r.order.Init()
	clear(r.items)
}
