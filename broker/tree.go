package broker

import (
	"cmp"
	"slices"
	"strings"
)

// maxLevels bounds the levels of topics and filters, and so the depth of trees.
const maxLevels = 128

func levels(topic string) int { return strings.Count(topic, "/") + 1 }

// node is one level of a topic tree. Children are sorted: a level has few of
// them, or many that seldom change, and walks come in a fixed order.
type node[V any] struct {
	level    string
	value    V
	children []*node[V]
}

func (n *node[V]) find(level string) (int, bool) {
	return slices.BinarySearchFunc(n.children, level, func(c *node[V], s string) int { return cmp.Compare(c.level, s) })
}

func (n *node[V]) child(level string) *node[V] {
	if i, ok := n.find(level); ok {
		return n.children[i]
	}
	return nil
}

// tree keeps a value at each of some topics or filters.
type tree[V any] struct {
	root  node[V]
	nodes int           // how many there are below root
	empty func(*V) bool // whether a value needs no node
}

// get returns the value at path, or nil.
func (t *tree[V]) get(path string) *V {
	n := &t.root
	for rest, more := path, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		if n = n.child(level); n == nil {
			return nil
		}
	}
	return &n.value
}

// put returns the value at path, making room for it.
func (t *tree[V]) put(path string) *V {
	n := &t.root
	for rest, more := path, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		i, ok := n.find(level)
		if !ok {
			// Cloned: path may be the head of a large message.
			n.children = slices.Insert(n.children, i, &node[V]{level: strings.Clone(level)})
			t.nodes++
		}
		n = n.children[i]
	}
	return &n.value
}

// prune removes the nodes along path that hold nothing.
func (t *tree[V]) prune(path string) { t.pruneBelow(&t.root, path) }

func (t *tree[V]) pruneBelow(n *node[V], path string) {
	level, rest, more := strings.Cut(path, "/")
	i, ok := n.find(level)
	if !ok {
		return
	}
	c := n.children[i]
	if more {
		t.pruneBelow(c, rest)
	}
	if len(c.children) == 0 && t.empty(&c.value) {
		n.children = slices.Delete(n.children, i, i+1)
		t.nodes--
	}
}

// matching calls visit for the value of every filter in the tree that matches
// topic, by the rules of gateway.MatchTopic.
func (t *tree[V]) matching(topic string, visit func(*V)) {
	matchBelow(&t.root, topic, false, strings.HasPrefix(topic, "$"), visit)
}

func matchBelow[V any](n *node[V], rest string, end, dollar bool, visit func(*V)) {
	if !dollar { // [MQTT-4.7.2-1]
		if c := n.child("#"); c != nil { // also where the topic ends: "a/#" matches "a"
			visit(&c.value)
		}
	}
	if end {
		visit(&n.value)
		return
	}
	level, rest, more := strings.Cut(rest, "/")
	if !dollar {
		if c := n.child("+"); c != nil {
			matchBelow(c, rest, !more, false, visit)
		}
	}
	if c := n.child(level); c != nil {
		matchBelow(c, rest, !more, false, visit)
	}
}

// matched calls visit for the value of every topic in the tree that filter
// matches, in the order of their names.
func (t *tree[V]) matched(filter string, visit func(*V)) {
	matchedBelow(&t.root, filter, false, true, visit)
}

func matchedBelow[V any](n *node[V], filter string, end, root bool, visit func(*V)) {
	if end {
		visit(&n.value)
		return
	}
	level, rest, more := strings.Cut(filter, "/")
	switch level {
	case "#":
		if !root {
			visit(&n.value)
		}
		for _, c := range n.children {
			if !root || !strings.HasPrefix(c.level, "$") {
				matchedBelow(c, "#", false, false, visit)
			}
		}
	case "+":
		for _, c := range n.children {
			if !root || !strings.HasPrefix(c.level, "$") {
				matchedBelow(c, rest, !more, false, visit)
			}
		}
	default:
		if c := n.child(level); c != nil {
			matchedBelow(c, rest, !more, false, visit)
		}
	}
}
