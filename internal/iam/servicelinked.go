package iam

import (
	"cmp"
	"context"
	"strings"

	"usher/internal/api/iam"
	"usher/internal/db"
	"usher/internal/ids"
)

// Service-linked roles belong to an AWS service: their name, path and trust policy are its. Nothing of Usher uses them; they
// are there because infrastructure tools make them before what would.

// servicePath is where they are, and reservedPath is where AWS has others: customers can make and change no roles in them.
const (
	servicePath  = "/aws-service-role/"
	reservedPath = "/aws-reserved/"
)

func isProtected(path string) bool {
	return strings.HasPrefix(path, servicePath) || strings.HasPrefix(path, reservedPath)
}

// serviceLinked is what a service calls its role, and whether there may be several, told apart by a suffix.
type serviceLinked struct {
	role   string
	suffix bool
}

// serviceLinkedRoles are the services that are known, by the name of their principal (IAM User Guide, "AWS services that work
// with IAM").
var serviceLinkedRoles = map[string]serviceLinked{
	"autoscaling.amazonaws.com":                      {"AutoScaling", true},
	"cognito-idp.amazonaws.com":                      {"AmazonCognitoIdp", false},
	"contributorinsights.dynamodb.amazonaws.com":     {"DynamoDBCloudWatchContributorInsights", false},
	"dax.amazonaws.com":                              {"DAX", false},
	"dynamodb.application-autoscaling.amazonaws.com": {"ApplicationAutoScaling_DynamoDBTable", false},
	"ecs.amazonaws.com":                              {"ECS", false},
	"elasticache.amazonaws.com":                      {"ElastiCache", false},
	"elasticloadbalancing.amazonaws.com":             {"ElasticLoadBalancing", false},
	"email.cognito-idp.amazonaws.com":                {"AmazonCognitoIdpEmailService", false},
	"kinesisreplication.dynamodb.amazonaws.com":      {"DynamoDBKinesisDataStreamsReplication", false},
	"ops.apigateway.amazonaws.com":                   {"APIGateway", false},
	"organizations.amazonaws.com":                    {"Organizations", false},
	"rds.amazonaws.com":                              {"RDS", false},
	"replication.dynamodb.amazonaws.com":             {"DynamoDBReplication", false},
	"sso.amazonaws.com":                              {"SSO", false},
	"support.amazonaws.com":                          {"Support", false},
}

// serviceRole is the name of a service's role.
func serviceRole(service, suffix string) (string, error) {
	known, ok := serviceLinkedRoles[service]
	switch {
	case !ok:
		return "", iam.ErrInvalidInput.Msg("Service-linked roles of %s are not known here.", service)
	case suffix != "" && !known.suffix:
		return "", iam.ErrInvalidInput.Msg("Custom suffix is not allowed for %s", service)
	case suffix != "":
		suffix = "_" + suffix
	}
	return "AWSServiceRoleFor" + known.role + suffix, nil
}

// CreateServiceLinkedRole implements iam:CreateServiceLinkedRole.
func (s *Service) CreateServiceLinkedRole(ctx context.Context, in *iam.CreateServiceLinkedRoleRequest) (*iam.CreateServiceLinkedRoleResponse, error) {
	service := *in.AWSServiceName
	name, err := serviceRole(service, str(in.CustomSuffix))
	if err != nil {
		return nil, err
	}
	var e *entity
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		_, err := s.findEntity(ctx, tx, account(ctx), roleKind, name)
		if err == nil {
			return iam.ErrInvalidInput.Msg("Service role name %s has been taken in this account, please try a different suffix.", name)
		} else if !isNotFound(err) {
			return err
		}
		e = &entity{ID: ids.Role(), AccountID: account(ctx), Kind: roleKind, Name: name, NameKey: strings.ToLower(name), Path: servicePath + service + "/", Created: s.Now().UnixMicro(), Rev: 1}
		e.Doc.V.Description = str(in.Description)
		e.Doc.V.Trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":["` + service + `"]},"Action":["sts:AssumeRole"]}]}`
		return s.insertEntity(ctx, tx, e, newEntity{quotaName: "RolesPerAccount", quota: maxRoles}, nil)
	})
	if err != nil {
		return nil, err
	}
	r, err := s.wireRole(ctx, s.DB, e)
	if err != nil {
		return nil, err
	}
	return &iam.CreateServiceLinkedRoleResponse{Role: r}, nil
}

// DeleteServiceLinkedRole implements iam:DeleteServiceLinkedRole. No service uses the role, so that it is gone at once.
func (s *Service) DeleteServiceLinkedRole(ctx context.Context, in *iam.DeleteServiceLinkedRoleRequest) (*iam.DeleteServiceLinkedRoleResponse, error) {
	var task string
	err := s.DB.Tx(ctx, func(tx *db.Tx) error {
		e, err := s.entity(ctx, tx, roleKind, in.RoleName)
		if err == nil && !strings.HasPrefix(e.Path, servicePath) {
			err = noSuchEntity(roleKind, e.Name)
		}
		if err != nil {
			return err
		}
		task = "task" + e.Path + e.Name + "/" + ids.UUID()
		s.touch(tx, e)
		if err := db.Changed(tx.ExecContext(ctx, `DELETE FROM iam_entities WHERE id = $1 AND rev = $2`, e.ID, e.Rev)); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO iam_role_deletions (task_id, account_id) VALUES ($1, $2)`, task, e.AccountID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &iam.DeleteServiceLinkedRoleResponse{DeletionTaskId: &task}, nil
}

// GetServiceLinkedRoleDeletionStatus implements iam:GetServiceLinkedRoleDeletionStatus.
func (s *Service) GetServiceLinkedRoleDeletionStatus(ctx context.Context, in *iam.GetServiceLinkedRoleDeletionStatusRequest) (*iam.GetServiceLinkedRoleDeletionStatusResponse, error) {
	n, err := db.One[int64](ctx, s.DB, `SELECT COUNT(*) FROM iam_role_deletions WHERE task_id = $1 AND account_id = $2`, *in.DeletionTaskId, account(ctx))
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, iam.ErrNoSuchEntity.Msg("The deletion task with id %s cannot be found.", *in.DeletionTaskId)
	}
	return &iam.GetServiceLinkedRoleDeletionStatusResponse{Status: new(iam.DeletionTaskStatusTypeSucceeded)}, nil
}

// serviceRoleTarget is the role that an operation on service-linked roles is about.
func (t *targeting) serviceRoleTarget() string {
	path, name := servicePath, ""
	switch in := t.in.Addr().Interface().(type) {
	case *iam.CreateServiceLinkedRoleRequest:
		t.keys["iam:AWSServiceName"] = []string{*in.AWSServiceName}
		name, _ = serviceRole(*in.AWSServiceName, str(in.CustomSuffix))
		path += *in.AWSServiceName + "/"
	case *iam.GetServiceLinkedRoleDeletionStatusRequest: // task/aws-service-role/SERVICE/ROLE/UUID
		rest := strings.TrimPrefix(*in.DeletionTaskId, "task"+servicePath)
		name = rest[:max(strings.LastIndexByte(rest, '/'), 0)]
	}
	return entityARN(account(t.ctx), roleKind, path, cmp.Or(name, "*"))
}
