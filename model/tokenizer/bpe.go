package tokenizer

// encoder holds the buffers of one Encode.
type encoder struct {
	t       *Tokenizer
	out     []token
	symbols []symbol
	queue   queue
}

// symbol is a node of the linked list of a word's tokens.
type symbol struct {
	token      token
	prev, next int32 // -1 = none
	dead       bool  // merged into its left neighbour
}

// text appends the tokens of text that has no control tokens.
func (e *encoder) text(text string) {
	e.t.rule.split(text, e.word)
}

// word appends the tokens of one word: while any two neighbours can be merged,
// the pair of lowest rank is, the leftmost of equals first. Every symbol enters
// the queue a bounded number of times, so n bytes cost O(n log n).
func (e *encoder) word(word string) {
	if id, ok := e.t.words[word]; ok {
		e.out = append(e.out, id)
		return
	}
	e.symbols, e.queue = e.symbols[:0], e.queue[:0]
	for i := range len(word) {
		id := e.t.bytes[word[i]]
		if id < 0 {
			id = e.t.unknown
		}
		if id < 0 {
			continue
		}
		n := int32(len(e.symbols))
		e.symbols = append(e.symbols, symbol{token: token(id), prev: n - 1, next: n + 1})
	}
	if len(e.symbols) == 0 {
		return
	}
	e.symbols[len(e.symbols)-1].next = -1
	for i := range int32(len(e.symbols)) {
		e.propose(i)
	}
	for len(e.queue) > 0 {
		rank, at := e.queue.pop()
		m, ok := e.merge(at)
		if !ok || m.rank != rank {
			continue // one of the two has changed since
		}
		s := &e.symbols[at]
		right := &e.symbols[s.next]
		right.dead = true
		s.token, s.next = m.token, right.next
		if s.next >= 0 {
			e.symbols[s.next].prev = at
		}
		e.propose(at)
		e.propose(s.prev)
	}
	for i := int32(0); i >= 0; i = e.symbols[i].next {
		e.out = append(e.out, e.symbols[i].token)
	}
}

// merge is what the symbol at i and its right neighbour become.
func (e *encoder) merge(i int32) (merged, bool) {
	if i < 0 || e.symbols[i].dead || e.symbols[i].next < 0 {
		return merged{}, false
	}
	m, ok := e.t.merges[pair{e.symbols[i].token, e.symbols[e.symbols[i].next].token}]
	return m, ok
}

func (e *encoder) propose(i int32) {
	if m, ok := e.merge(i); ok {
		e.queue.push(uint64(m.rank)<<32 | uint64(i))
	}
}

// queue is a binary min-heap of rank and position packed into one number.
type queue []uint64

func (q *queue) push(x uint64) {
	h := append(*q, x)
	i := len(h) - 1
	for i > 0 && h[(i-1)/2] > x {
		h[i] = h[(i-1)/2]
		i = (i - 1) / 2
	}
	h[i] = x
	*q = h
}

func (q *queue) pop() (rank uint32, at int32) {
	h := *q
	top, last := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	i := 0
	for child := 1; child < len(h); child = 2*i + 1 {
		if child+1 < len(h) && h[child+1] < h[child] {
			child++
		}
		if h[child] >= last {
			break
		}
		h[i] = h[child]
		i = child
	}
	if len(h) > 0 {
		h[i] = last
	}
	*q = h
	return uint32(top >> 32), int32(top & 0xffffffff)
}
