// Package catalog holds what AWS's service authorization reference says of the
// services that Usher has to do with: their actions, the resource types that an
// action can be limited to, and the condition keys with their types. It is
// reference data, compiled in. Policies learn from it which condition keys there
// are.
//
// # Notation of catalog.txt
//
//	key Name Type                      a condition key; before the first service the global ones
//	service prefix                     what follows belongs to the service
//	type name ARN keys…                a resource type, and keys that any action on it can be limited by
//	action Name Access keys…           an action
//	on type[!] keys…                   a resource type of the action above; ! if every policy must name one
package catalog

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"
)

//go:embed catalog.txt
var text string

// Access is the access level of an action.
type Access string

const (
	List                  Access = "List"
	Read                  Access = "Read"
	Write                 Access = "Write"
	Tagging               Access = "Tagging"
	PermissionsManagement Access = "PermissionsManagement"
)

// Action is what can be allowed or denied. It is shared: callers must not change it.
type Action struct {
	Name      string // service:Name in AWS's spelling
	Access    Access
	Resources []Resource // empty if the action is always on "*"
	Keys      []string   // condition keys of the action, besides those of its resources and the global ones
}

// Resource is a type of resource that an action works on.
type Resource struct {
	*ResourceType
	Required bool     // each request has one
	Keys     []string // condition keys of the action on this type only
}

// ResourceType is a kind of resource of a service.
type ResourceType struct {
	Name string
	ARN  string   // with variables such as ${Region}
	Keys []string // condition keys of each action on such a resource
}

// ConditionKeys lists all condition keys that the service sends with the
// action, without duplicates and without the global ones. A part such as
// ${TagKey} stands for any text.
func (a *Action) ConditionKeys() []string {
	keys := slices.Clone(a.Keys)
	for _, r := range a.Resources {
		keys = append(append(keys, r.Keys...), r.ResourceType.Keys...)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// KeyType is the type of a condition key, which says what operators fit.
type KeyType string

const (
	String        KeyType = "String"
	ARN           KeyType = "ARN"
	Numeric       KeyType = "Numeric"
	Date          KeyType = "Date"
	Bool          KeyType = "Bool"
	IPAddress     KeyType = "IPAddress"
	ArrayOfString KeyType = "ArrayOfString"
	ArrayOfARN    KeyType = "ArrayOfARN"
)

// Multivalued reports whether the key has a list of values, which policies read
// with ForAllValues and ForAnyValue.
func (t KeyType) Multivalued() bool { return strings.HasPrefix(string(t), "ArrayOf") }

// Lookup finds an action by its name service:Name, in any case.
func Lookup(name string) (*Action, bool) {
	a, ok := all().actions[strings.ToLower(name)]
	return a, ok
}

// Known reports whether the catalog has the action. For services that it does
// not have (see HasService) that says nothing.
func Known(action string) bool {
	_, ok := Lookup(action)
	return ok
}

// HasService reports whether the catalog has the actions of a service prefix, such as cognito-idp.
func HasService(prefix string) bool { return all().services[strings.ToLower(prefix)] }

// TypeOf gives the type of a condition key, global or of a service, in any
// case. Keys that name something, such as aws:RequestTag/team, have the type of
// their template aws:RequestTag/${TagKey}.
func TypeOf(key string) (KeyType, bool) {
	key = strings.ToLower(key)
	if t, ok := all().keys[key]; ok {
		return t, true
	}
	for _, t := range all().templates {
		if len(key) > len(t.prefix)+len(t.suffix) && strings.HasPrefix(key, t.prefix) && strings.HasSuffix(key, t.suffix) {
			return t.keyType, true
		}
	}
	return "", false
}

// GlobalKeys lists the condition keys that requests of any service can have.
func GlobalKeys() []string { return slices.Clone(all().global) }

type catalog struct {
	services  map[string]bool
	actions   map[string]*Action // by lower-case name
	keys      map[string]KeyType // by lower-case name
	templates []template         // keys with a variable part
	global    []string
}

type template struct {
	prefix, suffix string // lower case
	keyType        KeyType
}

var all = sync.OnceValue(func() *catalog {
	c, err := parse(text)
	if err != nil {
		panic(err) // the text is part of the program
	}
	return c
})

func parse(text string) (*catalog, error) {
	c := &catalog{services: map[string]bool{}, actions: map[string]*Action{}, keys: map[string]KeyType{}}
	var service string
	var types map[string]*ResourceType
	var action *Action
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case len(f) == 0 || f[0] == "#":
		case f[0] == "key" && len(f) == 3:
			c.addKey(f[1], KeyType(f[2]))
			if service == "" {
				c.global = append(c.global, f[1])
			}
		case f[0] == "service" && len(f) == 2:
			service, types, action = f[1], map[string]*ResourceType{}, nil
			c.services[service] = true
		case f[0] == "type" && len(f) >= 3:
			types[f[1]] = &ResourceType{Name: f[1], ARN: f[2], Keys: f[3:]}
		case f[0] == "action" && len(f) >= 3:
			action = &Action{Name: service + ":" + f[1], Access: Access(f[2]), Keys: f[3:]}
			c.actions[strings.ToLower(action.Name)] = action
		case f[0] == "on" && len(f) >= 2 && action != nil:
			name, required := strings.CutSuffix(f[1], "!")
			if types[name] == nil {
				return nil, fmt.Errorf("catalog: %s has no resource type %s", service, name)
			}
			action.Resources = append(action.Resources, Resource{ResourceType: types[name], Required: required, Keys: f[2:]})
		default:
			return nil, fmt.Errorf("catalog: cannot read %q", line)
		}
	}
	return c, nil
}

func (c *catalog) addKey(name string, keyType KeyType) {
	name = strings.ToLower(name)
	prefix, rest, variable := strings.Cut(name, "${")
	if !variable {
		c.keys[name] = keyType
		return
	}
	_, suffix, _ := strings.Cut(rest, "}")
	c.templates = append(c.templates, template{prefix, suffix, keyType})
}
