package userpool

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"

	"usher/internal/api/cognitoidp"
	"usher/internal/arn"
	"usher/internal/awsapi"
)

// Targets returns what a signed operation touches, with its condition keys: the pool that the input names, or all pools.
// Whether the pool exists is found out after authorization. A pool of another account does not exist for the caller, so its
// ARN is that of a pool of the caller's own.
//
// Source: Service Authorization Reference, "Actions, resources, and condition keys for Amazon Cognito User Pools".
func (s *Service) Targets(ctx context.Context, op string, in any) ([]awsapi.Target, error) {
	t := awsapi.Target{Resource: "*", Keys: map[string][]string{}}
	input := reflect.ValueOf(in).Elem()
	switch {
	case op == "CreateUserPool" || op == "ListUserPools":
	case input.FieldByName("ResourceArn").IsValid():
		resource := deref(input.FieldByName("ResourceArn").Interface().(*string))
		a, _, err := parsePoolARN(resource)
		if err != nil {
			return nil, err
		}
		t.Resource, t.Account = resource, a.AccountID
	default:
		caller, _ := awsapi.CallerFrom(ctx)
		t.Resource = poolARN(caller.AccountID, deref(input.FieldByName("UserPoolId").Interface().(*string)))
	}
	if err := s.addResourceTags(ctx, &t); err != nil {
		return nil, err
	}
	switch in := in.(type) {
	case *cognitoidp.CreateUserPoolRequest:
		addRequestTags(&t, in.UserPoolTags)
	case *cognitoidp.UpdateUserPoolRequest:
		addRequestTags(&t, in.UserPoolTags)
	case *cognitoidp.TagResourceRequest:
		addRequestTags(&t, in.Tags)
	case *cognitoidp.UntagResourceRequest:
		t.Keys["aws:TagKeys"] = in.TagKeys
	}
	return []awsapi.Target{t}, nil
}

func (s *Service) addResourceTags(ctx context.Context, t *awsapi.Target) error {
	if t.Resource == "*" {
		return nil
	}
	_, id, err := parsePoolARN(t.Resource)
	if err != nil {
		return err
	}
	p, err := s.ownPool(ctx, id)
	if errors.Is(err, cognitoidp.ErrResourceNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	for k, v := range p.Settings.UserPoolTags {
		t.Keys["aws:ResourceTag/"+k] = []string{v}
	}
	return nil
}

func addRequestTags(t *awsapi.Target, tags map[string]string) {
	if len(tags) == 0 {
		return
	}
	for k, v := range tags {
		t.Keys["aws:RequestTag/"+k] = []string{v}
		t.Keys["aws:TagKeys"] = append(t.Keys["aws:TagKeys"], k)
	}
	slices.Sort(t.Keys["aws:TagKeys"])
}

// poolARN returns the ARN of a pool, whose id begins with its region.
func poolARN(account, id string) string {
	region, _, _ := strings.Cut(id, "_")
	return arn.ARN{Partition: "aws", Service: "cognito-idp", Region: region, AccountID: account, Resource: "userpool/" + id}.String()
}

// parsePoolARN reads the ARN of a user pool.
func parsePoolARN(text string) (a arn.ARN, id string, err error) {
	a, err = arn.Parse(text)
	id, ok := strings.CutPrefix(a.Resource, "userpool/")
	if err != nil || !ok || a.Service != "cognito-idp" {
		return a, "", errResourceARN(text)
	}
	return a, id, nil
}
