package access

import (
	"context"
	"sync"
	"time"

	"usher/internal/awsapi"
	"usher/internal/policy"
)

// Denials keeps the last denials of this process, each with the policies and condition keys that decided it, and the last
// requests that failed for whatever reason, so that they can be explained afterwards. Make it with NewDenials.
type Denials struct {
	mu   sync.Mutex
	ring []denial
	next int

	failures    []awsapi.Failure
	nextFailure int
}

type denial struct {
	id       string
	at       time.Time
	request  policy.Request
	policies policy.Policies
	note     string
}

const (
	keptDenials  = 2048
	keptFailures = 2048
	// perRequest bounds what one request may put in: a batch of a thousand objects must not push out everybody else's.
	perRequest = 8
)

// NewDenials returns an empty collection.
func NewDenials() *Denials {
	return &Denials{ring: make([]denial, keptDenials), failures: make([]awsapi.Failure, keptFailures)}
}

// AddFailure keeps a request that was answered with an error.
func (ds *Denials) AddFailure(f awsapi.Failure) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	ds.failures[ds.nextFailure] = f
	ds.nextFailure = (ds.nextFailure + 1) % len(ds.failures)
}

// failure returns the request with an id, if it failed.
func (ds *Denials) failure(requestID string) (awsapi.Failure, bool) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	for i := range ds.failures {
		if ds.failures[i].RequestID == requestID && requestID != "" {
			return ds.failures[i], true
		}
	}
	return awsapi.Failure{}, false
}

// Add keeps a denial of the request that ctx belongs to. note says what the policies cannot say, such as that a role does
// not exist. The condition keys of r belong to the collection from now on. Denials without a request id are not kept.
func (ds *Denials) Add(ctx context.Context, at time.Time, r policy.Request, p policy.Policies, note string) {
	id := awsapi.RequestID(ctx)
	if ds == nil || id == "" {
		return
	}
	ds.mu.Lock()
	defer ds.mu.Unlock()
	same := 0
	for i := 1; i <= 2*perRequest; i++ {
		if ds.ring[(ds.next-i+len(ds.ring))%len(ds.ring)].id == id {
			same++
		}
	}
	if same >= perRequest {
		return
	}
	ds.ring[ds.next] = denial{id, at, r, p, note}
	ds.next = (ds.next + 1) % len(ds.ring)
}

// Denied is a denial that was kept.
type Denied struct {
	At          time.Time
	Request     policy.Request
	Explanation policy.Explanation
	Note        string
}

// Explain tells why the request with an id was denied, once for each action and resource that was; nothing if it was not,
// or too long ago.
func (ds *Denials) Explain(requestID string) []Denied {
	if requestID == "" {
		return nil
	}
	ds.mu.Lock()
	defer ds.mu.Unlock()
	var list []Denied
	for i := range ds.ring {
		d := &ds.ring[(ds.next+i)%len(ds.ring)]
		if d.id == requestID {
			list = append(list, Denied{d.at, d.request, policy.Explain(&d.request, &d.policies), d.note})
		}
	}
	return list
}
