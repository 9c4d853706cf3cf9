package organizations

import (
	"cmp"
	"context"
	"maps"
	"reflect"
	"strings"

	"usher/internal/api/organizations"
	"usher/internal/awsapi"
)

// resourceMembers are the members of inputs that name something of the organization.
var resourceMembers = []string{"PolicyId", "TargetId", "OrganizationalUnitId", "ParentId", "ChildId", "AccountId", "RootId", "SourceParentId", "DestinationParentId", "ResourceId"}

// Targets tells which resources an operation touches and what its condition keys are (Service Authorization Reference,
// "Actions, resources, and condition keys for AWS Organizations"): each resource that the input names, or "*".
func (s *Service) Targets(ctx context.Context, op string, in any) ([]awsapi.Target, error) {
	v := reflect.Indirect(reflect.ValueOf(in))
	text := func(member string) string {
		if f := v.FieldByName(member); f.IsValid() {
			if p, ok := f.Interface().(*string); ok {
				return str(p)
			}
		}
		return ""
	}
	keys := map[string][]string{}
	if service := text("ServicePrincipal"); service != "" {
		keys["organizations:ServicePrincipal"] = []string{service}
	}
	if strings.Contains(op, "Polic") {
		keys["organizations:PolicyType"] = []string{cmp.Or(text("PolicyType"), text("Filter"), text("Type"), serviceControl)}
	}
	var names []string
	if f := v.FieldByName("Tags"); f.IsValid() {
		for _, t := range f.Interface().([]organizations.Tag) {
			keys["aws:RequestTag/"+*t.Key] = []string{*t.Value}
			names = append(names, *t.Key)
		}
	} else if f := v.FieldByName("TagKeys"); f.IsValid() {
		names = f.Interface().([]string)
	}
	if len(names) > 0 {
		keys["aws:TagKeys"] = names
	}

	targets := []awsapi.Target{}
	o, err := s.own(ctx, s.DB)
	if err != nil && !isModeled(err) {
		return nil, err
	}
	for _, member := range resourceMembers {
		id := text(member)
		if err != nil || id == "" { // who is in no organization is told so by the operation
			continue
		}
		tags, err := s.tagsOf(ctx, s.DB, id)
		if err != nil {
			return nil, err
		}
		own := maps.Clone(keys)
		for _, t := range tags {
			own["aws:ResourceTag/"+t.Name] = []string{t.Value}
		}
		targets = append(targets, awsapi.Target{Resource: o.arnOf(id), Keys: own})
	}
	if len(targets) == 0 {
		targets = append(targets, awsapi.Target{Resource: "*", Keys: keys})
	}
	if strings.HasPrefix(op, "Create") && len(names) > 0 {
		targets = append(targets, awsapi.Target{Action: "organizations:TagResource", Resource: "*", Keys: keys})
	}
	return targets, nil
}

// arnOf is the ARN of what has an id, whether or not it is there.
func (o *organization) arnOf(id string) string {
	switch {
	case strings.HasPrefix(id, "r-"):
		return o.arn("root", id)
	case strings.HasPrefix(id, "ou-"):
		return o.arn("ou", id)
	case strings.HasPrefix(id, "p-"):
		return (&controlPolicy{ID: id}).arn(o)
	}
	return o.arn("account", id)
}
