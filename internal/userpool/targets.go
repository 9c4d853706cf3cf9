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
// ARN is that of a pool of the caller's own. Roles that the input hands over need iam:PassRole.
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
	targets := []awsapi.Target{t}
	for _, role := range passedRoles(in) {
		// The caller's own policies decide, also about a role of another account.
		keys := map[string][]string{"iam:PassedToService": {"cognito-idp.amazonaws.com"}}
		if a, err := arn.Parse(role); err == nil {
			keys["aws:ResourceAccount"] = []string{a.AccountID}
		}
		targets = append(targets, awsapi.Target{Action: "iam:PassRole", Resource: role, Keys: keys})
	}
	return targets, nil
}

// passedRoles are the roles that an input hands to user pools: who sends SMS, who writes the log of an import, and what the
// members of a group prefer.
func passedRoles(in any) []string {
	var sms *cognitoidp.SmsConfigurationType
	var role *string
	switch in := in.(type) {
	case *cognitoidp.CreateUserPoolRequest:
		sms = in.SmsConfiguration
	case *cognitoidp.UpdateUserPoolRequest:
		sms = in.SmsConfiguration
	case *cognitoidp.SetUserPoolMfaConfigRequest:
		if in.SmsMfaConfiguration != nil {
			sms = in.SmsMfaConfiguration.SmsConfiguration
		}
	case *cognitoidp.CreateGroupRequest:
		role = in.RoleArn
	case *cognitoidp.UpdateGroupRequest:
		role = in.RoleArn
	case *cognitoidp.CreateUserImportJobRequest:
		role = in.CloudWatchLogsRoleArn
	}
	if sms != nil {
		role = sms.SnsCallerArn
	}
	if deref(role) == "" {
		return nil
	}
	return []string{*role}
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
