package iam

import (
	"encoding/base64"
	"maps"
	"slices"
	"unicode/utf8"
)

// page is one page of a list. The marker holds the key of the last element of the page before.
type page struct {
	after     string
	size      int
	truncated bool
	next      string
}

const defaultPage = 100

func newPage(marker *string, max *int32) (*page, error) {
	p := &page{size: defaultPage}
	if max != nil {
		p.size = int(*max)
	}
	if marker != nil {
		key, err := base64.RawURLEncoding.DecodeString(*marker)
		if err != nil || len(key) == 0 || !utf8.Valid(key) {
			return nil, errInvalidMarker
		}
		p.after = string(key)
	}
	return p, nil
}

// cut keeps what belongs on the page, of a list in order that may be longer.
func cut[T any](p *page, list []T, key func(T) string) []T {
	if len(list) > p.size {
		list, p.truncated = list[:p.size], true
		p.next = base64.RawURLEncoding.EncodeToString([]byte(key(list[p.size-1])))
	}
	return list
}

func (p *page) isTruncated() *bool { return &p.truncated }

func (p *page) marker() *string {
	if !p.truncated {
		return nil
	}
	return &p.next
}

// pathRange gives the range of paths that begin with prefix.
func pathRange(prefix *string) (from, to string) {
	return str(prefix), str(prefix) + string(utf8.MaxRune)
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
