package policy

import "strings"

// Context holds the condition keys of one request. Names compare without
// case; a key that was not set is absent. The zero Context is empty and ready.
// It belongs to one request and is not safe for concurrent use.
type Context struct {
	entries []entry
	lazy    []lazyKeys
	err     error // the first failure of a lazy load
}

type entry struct {
	key   string // lower case
	name  string // as set
	one   string
	many  []string
	multi bool
}

type lazyKeys struct {
	prefix string
	load   func(*Context) error
	err    error
	done   bool
}

// Set gives a single-valued key its value.
func (c *Context) Set(name, value string) {
	*c.slot(name) = entry{key: lowerKey(name), name: name, one: value}
}

// SetAll gives a multivalued key its values, which may be none. Policies read
// it with ForAllValues and ForAnyValue. The slice must not be changed afterwards.
func (c *Context) SetAll(name string, values []string) {
	*c.slot(name) = entry{key: lowerKey(name), name: name, many: values, multi: true}
}

// Lazy registers keys that cost something to find. When a policy asks for a
// key that begins with prefix and is not set, load is called, once, and sets
// whatever keys there are. If it fails, conditions on these keys cannot be
// evaluated: statements that allow do not apply and statements that deny do.
func (c *Context) Lazy(prefix string, load func(*Context) error) {
	c.lazy = append(c.lazy, lazyKeys{prefix: strings.ToLower(prefix), load: load})
}

// Keys calls f for every key set so far, in the order in which they were set.
func (c *Context) Keys(f func(name string, values []string)) {
	if c == nil {
		return
	}
	for i := range c.entries {
		f(c.entries[i].name, c.entries[i].values())
	}
}

// Reset removes all keys and keeps the memory.
func (c *Context) Reset() {
	clear(c.entries)
	clear(c.lazy)
	c.entries, c.lazy, c.err = c.entries[:0], c.lazy[:0], nil
}

// slot finds the entry of a key, or makes a new one.
func (c *Context) slot(name string) *entry {
	key := lowerKey(name)
	for i := range c.entries {
		if c.entries[i].key == key {
			return &c.entries[i]
		}
	}
	if c.entries == nil {
		c.entries = make([]entry, 0, 32)
	}
	c.entries = append(c.entries, entry{})
	return &c.entries[len(c.entries)-1]
}

// find gives the entry of a key in lower case, nil when the key is absent. It
// fails when the key could not be loaded.
func (c *Context) find(key string) (*entry, error) {
	if c == nil {
		return nil, nil
	}
	if e := c.lookup(key); e != nil {
		return e, nil
	}
	for i := 0; i < len(c.lazy); i++ { // load may register more
		l := &c.lazy[i]
		if !strings.HasPrefix(key, l.prefix) {
			continue
		}
		if !l.done {
			l.done = true
			err := l.load(c)
			l = &c.lazy[i] // the slice may have moved
			if l.err = err; err != nil && c.err == nil {
				c.err = err
			}
		}
		if l.err != nil {
			return nil, l.err
		}
		if e := c.lookup(key); e != nil {
			return e, nil
		}
	}
	return nil, nil
}

func (c *Context) lookup(key string) *entry {
	for i := range c.entries {
		if c.entries[i].key == key {
			return &c.entries[i]
		}
	}
	return nil
}

// single gives the value of a key for a policy variable. Multivalued keys have none.
func (c *Context) single(key string) (string, bool) {
	e, err := c.find(key)
	if err != nil || e == nil || e.multi {
		return "", false
	}
	return e.one, true
}

func (e *entry) values() []string {
	if e.multi {
		return e.many
	}
	return []string{e.one}
}

// lowerKey gives the name of a condition key in lower case, without allocating for common keys.
func lowerKey(name string) string {
	if key, ok := knownKeys[name]; ok {
		return key
	}
	return strings.ToLower(name)
}

var knownKeys = func() map[string]string {
	known := map[string]string{}
	for name := range strings.FieldsSeq(`
		aws:CurrentTime aws:EpochTime aws:SourceIp aws:SecureTransport aws:UserAgent aws:referer aws:RequestedRegion
		aws:PrincipalArn aws:PrincipalAccount aws:PrincipalType aws:userid aws:username aws:PrincipalIsAWSService
		aws:PrincipalServiceName aws:PrincipalServiceNamesList aws:PrincipalOrgID aws:PrincipalOrgPaths aws:ResourceOrgID
		aws:ResourceOrgPaths aws:ResourceAccount aws:TagKeys aws:TokenIssueTime aws:MultiFactorAuthPresent
		aws:MultiFactorAuthAge aws:FederatedProvider aws:SourceIdentity aws:SourceArn aws:SourceAccount aws:ViaAWSService
		aws:CalledVia aws:CalledViaFirst aws:CalledViaLast aws:AssumedRoot
		cognito-identity.amazonaws.com:aud cognito-identity.amazonaws.com:sub cognito-identity.amazonaws.com:amr
		sts:ExternalId sts:RoleSessionName sts:SourceIdentity sts:TransitiveTagKeys
		s3:authType s3:signatureversion s3:signatureAge s3:TlsVersion s3:x-amz-content-sha256 s3:ResourceAccount
		s3:prefix s3:delimiter s3:max-keys s3:versionid s3:x-amz-acl s3:x-amz-storage-class
		dynamodb:LeadingKeys dynamodb:Attributes dynamodb:Select dynamodb:ReturnValues dynamodb:ReturnConsumedCapacity
		dynamodb:EnclosingOperation`) {
		key := strings.ToLower(name)
		known[name], known[key] = key, key
	}
	return known
}()
