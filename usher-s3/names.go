package main

import (
	"path"
	"strings"
)

// names maps object keys to file names and back, so that every key has a file
// of its own. S3 keys are opaque strings; a file system resolves "", "." and
// ".." between slashes, and would serve "private/f" to a request that was
// authorised for "public/../private/f" or "/private/f". The store's own
// folder names need the same care.
//
// A path segment that means something to the file system gets one escape
// character appended, and so does one that would look escaped. The mapping is
// one to one, and nearly keeps the order and the prefixes of keys, which
// listings rely on.
type names struct{ reserved map[string]bool }

const escape = "\x01"

func newNames(reserved ...string) names {
	n := names{map[string]bool{"": true, ".": true, "..": true}}
	for _, r := range reserved {
		n.reserved[r] = true
	}
	return n
}

// file is the file name of a key. One that ends in a slash is a file in that
// directory, for it may have content like any other.
func (n names) file(key string) string {
	if n.plain(key) {
		return key
	}
	segments := strings.Split(key, "/")
	for i, s := range segments {
		if n.reserved[strings.TrimRight(s, escape)] {
			segments[i] = s + escape
		}
	}
	return strings.Join(segments, "/")
}

// prefix is the file-name prefix that the keys with a given prefix share: the
// last segment is unfinished and stays as it is.
func (n names) prefix(p string) string {
	dir, last := path.Split(p)
	if dir == "" {
		return last
	}
	return strings.TrimSuffix(n.file(dir), escape) + last
}

// key is the inverse of file and, for complete segments, of prefix.
func (n names) key(file string) string {
	if !strings.Contains(file, escape) {
		return file
	}
	segments := strings.Split(file, "/")
	for i, s := range segments {
		if strings.HasSuffix(s, escape) && n.reserved[strings.TrimRight(s, escape)] {
			segments[i] = strings.TrimSuffix(s, escape)
		}
	}
	return strings.Join(segments, "/")
}

// plain reports whether no segment of the key needs escaping, without
// allocating: the usual case.
func (n names) plain(key string) bool {
	for rest := key; ; {
		s, after, more := strings.Cut(rest, "/")
		if !more {
			return !n.reserved[strings.TrimRight(s, escape)]
		}
		if n.reserved[strings.TrimRight(s, escape)] {
			return false
		}
		rest = after
	}
}
