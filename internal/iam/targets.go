package iam

import (
	"cmp"
	"context"
	"errors"
	"reflect"
	"strings"

	"usher/internal/api/iam"
	"usher/internal/awsapi"
	"usher/internal/db"
)

// Targets tells which resources an operation touches and what its condition keys are (Service Authorization Reference,
// "Actions, resources, and condition keys for AWS Identity and Access Management").
//
// The inputs of the IAM API are regular: the member RoleName is always a role's name, PolicyArn always a managed policy.
func (s *Service) Targets(ctx context.Context, op string, in any) ([]awsapi.Target, error) {
	t := targeting{Service: s, ctx: ctx, op: op, in: reflect.Indirect(reflect.ValueOf(in)), keys: map[string][]string{}}
	resource, err := t.resource()
	if err != nil {
		return nil, err
	}
	t.requestKeys()
	targets := []awsapi.Target{{Resource: resource, Keys: t.keys}}
	if renamed := t.renamed(resource); renamed != resource {
		targets = append(targets, awsapi.Target{Resource: renamed, Keys: t.keys})
	}
	if kind, ok := strings.CutPrefix(op, "Create"); ok && len(t.tags()) > 0 {
		targets = append(targets, awsapi.Target{Action: "iam:Tag" + strings.TrimPrefix(kind, "Virtual"), Resource: resource, Keys: t.keys})
	}
	return targets, nil
}

// renamed is the ARN that UpdateUser or UpdateGroup gives a resource. Who renames needs permission for both (IAM API Reference,
// UpdateUser), lest he brings users under paths where he may do more, or less is denied.
func (t *targeting) renamed(resource string) string {
	newPath, newName := t.text("NewPath"), cmp.Or(t.text("NewUserName"), t.text("NewGroupName"))
	first, last := strings.IndexByte(resource, '/'), strings.LastIndexByte(resource, '/')
	if newPath == nil && newName == nil || first < 0 {
		return resource
	}
	path, name := resource[first:last+1], resource[last+1:]
	return resource[:first] + cmp.Or(str(newPath), path) + cmp.Or(str(newName), name)
}

type targeting struct {
	*Service
	ctx  context.Context
	op   string
	in   reflect.Value
	keys map[string][]string
}

// text reads a member of the input; nil if it is not there or not given.
func (t *targeting) text(member string) *string {
	if f := t.in.FieldByName(member); f.IsValid() {
		p, _ := f.Interface().(*string)
		return p
	}
	return nil
}

func (t *targeting) tags() []iam.Tag {
	if f := t.in.FieldByName("Tags"); f.IsValid() {
		return f.Interface().([]iam.Tag)
	}
	return nil
}

func (t *targeting) resource() (string, error) {
	account := account(t.ctx)
	switch {
	case strings.Contains(t.op, "Delegation"):
		return t.delegationTarget()
	case t.op == "CreateServiceLinkedRole", t.op == "GetServiceLinkedRoleDeletionStatus":
		return t.serviceRoleTarget(), nil
	case t.text("RoleName") != nil:
		return t.entity(roleKind, t.text("RoleName"))
	case t.text("GroupName") != nil: // also where a user is put into it
		return t.entity(groupKind, t.text("GroupName"))
	case t.text("OpenIDConnectProviderArn") != nil:
		return *t.text("OpenIDConnectProviderArn"), t.providerTags(*t.text("OpenIDConnectProviderArn"))
	case t.text("Url") != nil:
		_, name, _ := strings.Cut(*t.text("Url"), "://")
		return "arn:aws:iam::" + account + ":oidc-provider/" + name, nil
	case t.text("SAMLProviderArn") != nil:
		return *t.text("SAMLProviderArn"), t.samlTags(*t.text("SAMLProviderArn"))
	case t.op == "CreateSAMLProvider":
		return samlARN(account, *t.text("Name")), nil
	case t.text("UserName") != nil:
		return t.entity(userKind, t.text("UserName"))
	case t.text("VirtualMFADeviceName") != nil:
		return entityARN(account, "mfa", cmp.Or(str(t.text("Path")), "/"), *t.text("VirtualMFADeviceName")), nil
	case t.op == "GetMFADevice":
		return t.mfaOwner(*t.text("SerialNumber"))
	case t.text("SerialNumber") != nil && !t.in.FieldByName("UserName").IsValid():
		return *t.text("SerialNumber"), t.mfaTags(*t.text("SerialNumber"))
	case t.text("PolicyArn") != nil:
		return *t.text("PolicyArn"), t.policyTags(*t.text("PolicyArn"))
	case t.text("PolicyName") != nil:
		return entityARN(account, "policy", cmp.Or(str(t.text("Path")), "/"), *t.text("PolicyName")), nil
	case t.text("PolicySourceArn") != nil:
		return *t.text("PolicySourceArn"), nil
	case t.op == "GetAccessKeyLastUsed":
		return t.keyOwner(*t.text("AccessKeyId"))
	case t.in.FieldByName("UserName").IsValid(), t.op == "ChangePassword": // the caller himself
		return t.self()
	case t.op == "ListUsers", t.op == "ListGroups", t.op == "ListRoles":
		kind := strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(t.op, "List"), "s"))
		return "arn:aws:iam::" + account + ":" + kind + cmp.Or(str(t.text("PathPrefix")), "/"), nil
	}
	return "*", nil
}

// entity is the ARN of a user, group or role that is there, or that is to be made.
func (t *targeting) entity(kind string, name *string) (string, error) {
	e, err := t.findEntity(t.ctx, t.DB, account(t.ctx), kind, *name)
	if isNotFound(err) {
		return entityARN(account(t.ctx), kind, cmp.Or(str(t.text("Path")), "/"), *name), nil
	} else if err != nil {
		return "", err
	}
	t.resourceTags(e.Doc.V.Tags)
	if e.Doc.V.Boundary != "" {
		t.keys["iam:PermissionsBoundary"] = []string{e.Doc.V.Boundary}
	}
	return e.ARN(), nil
}

func (t *targeting) self() (string, error) {
	e, id, err := t.requireUser(t.ctx, t.DB, nil)
	switch {
	case errors.Is(err, errMustSpecifyUser):
		return "*", nil
	case err != nil:
		return "", err
	case e == nil:
		return rootARN(id), nil
	}
	t.resourceTags(e.Doc.V.Tags)
	return e.ARN(), nil
}

func (t *targeting) keyOwner(id string) (string, error) {
	if n, err := db.One[int64](t.ctx, t.DB, `SELECT COUNT(*) FROM iam_access_keys WHERE id = $1 AND entity_id = $2`, id, account(t.ctx)); err != nil || n > 0 {
		return rootARN(account(t.ctx)), err
	}
	e, err := db.One[entity](t.ctx, t.DB, `SELECT `+entityColumns+` FROM iam_entities
		WHERE id = (SELECT entity_id FROM iam_access_keys WHERE id = $1 AND account_id = $2)`, id, account(t.ctx))
	if isNotFound(err) {
		return "*", nil
	}
	return e.ARN(), err
}

// mfaOwner is the user who has a device; the caller himself if nobody has.
func (t *targeting) mfaOwner(serial string) (string, error) {
	e, err := db.One[entity](t.ctx, t.DB, `SELECT `+entityColumns+` FROM iam_entities
		WHERE id = (SELECT user_id FROM iam_mfa_devices WHERE serial = $1 AND account_id = $2)`, serial, account(t.ctx))
	if isNotFound(err) {
		return t.self()
	} else if err != nil {
		return "", err
	}
	t.resourceTags(e.Doc.V.Tags)
	return e.ARN(), nil
}

func (t *targeting) mfaTags(serial string) error {
	d, err := t.mfaDevice(t.ctx, t.DB, serial)
	if err != nil {
		return ignoreModeled(err)
	}
	t.resourceTags(d.Doc.V.Tags)
	return nil
}

// ignoreModeled drops what the operation itself will say.
func ignoreModeled(err error) error {
	var known *awsapi.Error
	if errors.As(err, &known) {
		return nil
	}
	return err
}

func (t *targeting) policyTags(text string) error {
	m, err := t.findPolicy(t.ctx, t.DB, text)
	if err == nil && m.AccountID == account(t.ctx) {
		t.resourceTags(m.Doc.V.Tags)
	}
	return ignoreNotFound(err)
}

func (t *targeting) providerTags(text string) error {
	p, err := t.provider(t.ctx, t.DB, text)
	if err != nil {
		return ignoreModeled(err)
	}
	t.resourceTags(p.Doc.V.Tags)
	return nil
}

func (t *targeting) resourceTags(tags []tag) {
	for _, tag := range tags {
		t.keys["aws:ResourceTag/"+tag.Key] = []string{tag.Value}
		t.keys["iam:ResourceTag/"+tag.Key] = []string{tag.Value}
	}
}

// requestKeys adds the keys that the input carries.
func (t *targeting) requestKeys() {
	var names []string
	for _, tag := range t.tags() {
		t.keys["aws:RequestTag/"+str(tag.Key)] = []string{str(tag.Value)}
		names = append(names, str(tag.Key))
	}
	if f := t.in.FieldByName("TagKeys"); f.IsValid() {
		names = f.Interface().([]string)
	}
	if len(names) > 0 {
		t.keys["aws:TagKeys"] = names
	}
	if boundary := t.text("PermissionsBoundary"); boundary != nil {
		t.keys["iam:PermissionsBoundary"] = []string{*boundary}
	}
	if policyARN := t.text("PolicyArn"); policyARN != nil && (strings.HasPrefix(t.op, "Attach") || strings.HasPrefix(t.op, "Detach")) {
		t.keys["iam:PolicyARN"] = []string{*policyARN}
	}
}
