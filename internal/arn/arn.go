// Package arn reads and writes Amazon Resource Names,
// arn:partition:service:region:account-id:resource.
//
// The format is described in the AWS General Reference, "Amazon Resource Names (ARNs)".
package arn

import (
	"errors"
	"strings"
)

// ARN is one resource name. Region and AccountID are empty for resources that
// have none (IAM has no region, S3 buckets have neither). Resource is
// everything after the fifth colon and may hold colons and slashes itself.
type ARN struct {
	Partition string
	Service   string
	Region    string
	AccountID string
	Resource  string
}

// ErrInvalid is returned by Parse for text that is not an ARN.
var ErrInvalid = errors.New("arn: not an ARN")

// Parse splits text into its six parts. It checks the shape only: the prefix
// "arn", five colons, and that partition, service and resource are not empty.
func Parse(text string) (ARN, error) {
	rest, ok := strings.CutPrefix(text, "arn:")
	if !ok {
		return ARN{}, ErrInvalid
	}
	var part [4]string
	for i := range part {
		if part[i], rest, ok = strings.Cut(rest, ":"); !ok {
			return ARN{}, ErrInvalid
		}
	}
	a := ARN{Partition: part[0], Service: part[1], Region: part[2], AccountID: part[3], Resource: rest}
	if a.Partition == "" || a.Service == "" || a.Resource == "" {
		return ARN{}, ErrInvalid
	}
	return a, nil
}

// String gives the ARN as text. The zero ARN gives the empty string.
func (a ARN) String() string {
	if a == (ARN{}) {
		return ""
	}
	return "arn:" + a.Partition + ":" + a.Service + ":" + a.Region + ":" + a.AccountID + ":" + a.Resource
}

// IsZero reports whether a is the zero ARN.
func (a ARN) IsZero() bool { return a == ARN{} }

// Type gives the resource type and the rest of the resource part, split at the
// first "/" or ":": "role" and "path/name" for role/path/name. A resource
// without a separator (an S3 bucket, "root") is all type and the rest is empty.
func (a ARN) Type() (kind, name string) {
	if i := strings.IndexAny(a.Resource, "/:"); i >= 0 {
		return a.Resource[:i], a.Resource[i+1:]
	}
	return a.Resource, ""
}
