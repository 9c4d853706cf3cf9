package awsapi

import "sync"

// DefaultMaxRequests bounds the requests of AWS APIs that are under way at once.
const DefaultMaxRequests = 1024

// admission bounds what is under way, so that more requests than can be served cost memory for a bounded number of them and
// the rest a quick answer. Nobody waits here: what has to take turns, such as signatures, has queues of its own, and they are
// shorter.
//
// A body is in memory as a whole, so a request is as many as its body has quarters of a MiB. One operation gets no more than
// half of all places: when sign-ins wait for the processor, other operations still find one.
type admission struct {
	most int

	mu    sync.Mutex
	taken int
	of    map[*Operation]int
}

const placeBytes = 256 << 10

// enter takes places for a body of that many bytes, or reports that there are none left.
func (a *admission) enter(body int64) (places int, ok bool) {
	places = 1 + int(body/placeBytes)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.taken+places > a.most {
		return 0, false
	}
	a.taken += places
	return places, true
}

// begin counts a request for its operation, or reports that those of the operation are too many.
func (a *admission) begin(op *Operation) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of[op] >= max(a.most/2, 1) {
		return false
	}
	a.of[op]++
	return true
}

// leave gives back what a request has taken: op is nil if it has not begun.
func (a *admission) leave(places int, op *Operation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.taken -= places
	if op != nil {
		if a.of[op]--; a.of[op] == 0 {
			delete(a.of, op)
		}
	}
}
