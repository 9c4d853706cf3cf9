package iam_test

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"usher/internal/saml/samltest"
)

func TestSAMLProviders(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		ctx := t.Context()
		idp := samltest.New(t, "https://idp.example.org/", 1)
		corp := "arn:aws:iam::" + s.admin.Account + ":saml-provider/Corp.Idp-1"
		create := func(name, metadata string) error {
			_, err := c.CreateSAMLProvider(ctx, &iam.CreateSAMLProviderInput{Name: &name, SAMLMetadataDocument: &metadata})
			return err
		}
		made := must(c.CreateSAMLProvider(ctx, &iam.CreateSAMLProviderInput{
			Name: aws.String("Corp.Idp-1"), SAMLMetadataDocument: aws.String(idp.Metadata()),
			Tags: []types.Tag{{Key: aws.String("b"), Value: aws.String("2")}, {Key: aws.String("a"), Value: aws.String("1")}},
		}))(t)
		if *made.SAMLProviderArn != corp || len(made.Tags) != 2 {
			t.Errorf("made %+v", made)
		}
		got := must(c.GetSAMLProvider(ctx, &iam.GetSAMLProviderInput{SAMLProviderArn: &corp}))(t)
		if *got.SAMLMetadataDocument != idp.Metadata() || *got.Tags[0].Key != "a" || len(*got.SAMLProviderUUID) < 22 || got.ValidUntil.Sub(*got.CreateDate) < 99*365*24*time.Hour {
			t.Errorf("got %s to %s, tags %v", *got.SAMLProviderUUID, got.ValidUntil, got.Tags)
		}
		ending := idp.MetadataWith(`validUntil="2030-01-02T03:04:05Z"`, idp.Certificate)
		must(c.UpdateSAMLProvider(ctx, &iam.UpdateSAMLProviderInput{SAMLProviderArn: &corp, SAMLMetadataDocument: &ending}))(t)
		list := must(c.ListSAMLProviders(ctx, nil))(t).SAMLProviderList
		if len(list) != 1 || *list[0].Arn != corp || !list[0].ValidUntil.Equal(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)) {
			t.Errorf("list: %v", list)
		}
		known := must(s.SAMLProvider(ctx, corp))(t)
		if known.Name != "Corp.Idp-1" || known.Account != s.admin.Account || known.Metadata.EntityID != idp.EntityID || known.Metadata.ValidUntil.Year() != 2030 {
			t.Errorf("in memory: %+v", known)
		}
		must(c.UpdateSAMLProvider(ctx, &iam.UpdateSAMLProviderInput{SAMLProviderArn: &corp}))(t) // nothing to change
		must(c.TagSAMLProvider(ctx, &iam.TagSAMLProviderInput{SAMLProviderArn: &corp, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("3")}, {Key: aws.String("A"), Value: aws.String("4")}}}))(t)
		must(c.UntagSAMLProvider(ctx, &iam.UntagSAMLProviderInput{SAMLProviderArn: &corp, TagKeys: []string{"b"}}))(t)
		tags := must(c.ListSAMLProviderTags(ctx, &iam.ListSAMLProviderTagsInput{SAMLProviderArn: &corp, MaxItems: aws.Int32(1)}))(t)
		if len(tags.Tags) != 1 || !tags.IsTruncated || *tags.Tags[0].Key != "A" {
			t.Errorf("tags: %v", tags.Tags)
		}
		tags = must(c.ListSAMLProviderTags(ctx, &iam.ListSAMLProviderTagsInput{SAMLProviderArn: &corp, Marker: tags.Marker}))(t)
		if len(tags.Tags) != 1 || *tags.Tags[0].Value != "3" {
			t.Errorf("more tags: %v", tags.Tags)
		}
		if doc := *must(c.GetSAMLProvider(ctx, &iam.GetSAMLProviderInput{SAMLProviderArn: &corp}))(t).SAMLMetadataDocument; doc != ending {
			t.Errorf("the metadata has changed with the tags: %s", doc)
		}

		missing := "arn:aws:iam::" + s.admin.Account + ":saml-provider/missing"
		other := "arn:aws:iam::123456789012:saml-provider/Corp.Idp-1"
		for _, f := range []struct {
			want string
			err  error
		}{
			{"EntityAlreadyExists: Provider with name Corp.Idp-1 already exists.", create("Corp.Idp-1", idp.Metadata())},
			{"InvalidInput: Could not parse metadata.", create("bad", strings.Repeat("x", 1000))},
			{"InvalidInput: Could not parse metadata.", create("bad", idp.MetadataWith(strings.Repeat(" ", 1000)))},
			{"ValidationError: 1 validation error detected: Value at 'sAMLMetadataDocument' failed to satisfy constraint: Member must have length greater than or equal to 1000", create("bad", "<x/>")},
			{"NoSuchEntity: Manifest not found for arn " + missing, failed(c.GetSAMLProvider(ctx, &iam.GetSAMLProviderInput{SAMLProviderArn: &missing}))},
			{"NoSuchEntity: Manifest not found for arn " + other, failed(c.DeleteSAMLProvider(ctx, &iam.DeleteSAMLProviderInput{SAMLProviderArn: &other}))},
			{"ValidationError: Invalid ARN:  Could not be parsed!", failed(c.GetSAMLProvider(ctx, &iam.GetSAMLProviderInput{SAMLProviderArn: aws.String("a-text-that-is-no-arn")}))},
			{"InvalidInput: Could not parse metadata.", failed(c.UpdateSAMLProvider(ctx, &iam.UpdateSAMLProviderInput{SAMLProviderArn: &corp, SAMLMetadataDocument: aws.String(strings.Repeat("<a>", 400))}))},
			{"InvalidInput: Encrypted SAML assertions are not supported: AssertionEncryptionMode, AddPrivateKey and RemovePrivateKey cannot be used.",
				failed(c.CreateSAMLProvider(ctx, &iam.CreateSAMLProviderInput{Name: aws.String("e"), SAMLMetadataDocument: &ending, AssertionEncryptionMode: types.AssertionEncryptionModeTypeAllowed}))},
			{"InvalidInput: Duplicate tag keys found. Please note that Tag keys are case insensitive.",
				failed(c.TagSAMLProvider(ctx, &iam.TagSAMLProviderInput{SAMLProviderArn: &corp, Tags: []types.Tag{{Key: aws.String("x"), Value: aws.String("")}, {Key: aws.String("x"), Value: aws.String("")}}}))},
		} {
			if got := failure(f.err); got != f.want {
				t.Errorf("got  %s\nwant %s", got, f.want)
			}
		}
		if _, err := s.SAMLProvider(ctx, missing); err == nil {
			t.Error("a missing provider is known")
		}

		must(c.DeleteSAMLProvider(ctx, &iam.DeleteSAMLProviderInput{SAMLProviderArn: &corp}))(t)
		if _, err := s.SAMLProvider(ctx, corp); err == nil {
			t.Error("a deleted provider is known")
		}
		for i := range 100 {
			if err := create(fmt.Sprint("p", i), idp.Metadata()); err != nil {
				t.Fatal(err)
			}
		}
		if got := failure(create("more", idp.Metadata())); got != "LimitExceeded: Cannot exceed quota for SAMLProvidersPerAccount: 100" {
			t.Error(got)
		}
	})
}

func failed[T any](_ T, err error) error { return err }

// TestSAMLAuthorization: providers are resources with tags.
func TestSAMLAuthorization(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		ctx := t.Context()
		metadata := samltest.New(t, "https://idp.example.org/", 1).Metadata()
		arn := func(name string) string { return "arn:aws:iam::" + s.admin.Account + ":saml-provider/" + name }
		must(c.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("ops")}))(t)
		must(c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: aws.String("ops"), PolicyName: aws.String("p"), PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","Action":["iam:CreateSAMLProvider","iam:TagSAMLProvider"],"Resource":"` + arn("dev-*") + `","Condition":{"StringEquals":{"aws:RequestTag/env":"dev"}}},
			{"Effect":"Allow","Action":["iam:GetSAMLProvider","iam:DeleteSAMLProvider"],"Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/env":"dev"}}},
			{"Effect":"Allow","Action":"iam:ListSAMLProviders","Resource":"*"}]}`)}))(t)
		key := must(c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("ops")}))(t).AccessKey
		ops := s.client(*key.AccessKeyId, *key.SecretAccessKey)
		must(c.CreateSAMLProvider(ctx, &iam.CreateSAMLProviderInput{Name: aws.String("prod"), SAMLMetadataDocument: &metadata}))(t)
		create := func(name, env string) error {
			in := &iam.CreateSAMLProviderInput{Name: &name, SAMLMetadataDocument: &metadata}
			if env != "" {
				in.Tags = []types.Tag{{Key: aws.String("env"), Value: &env}}
			}
			return failed(ops.CreateSAMLProvider(ctx, in))
		}
		for _, f := range []struct {
			name    string
			allowed bool
			err     error
		}{
			{"create", true, create("dev-"+strings.ToLower(rand.Text()), "dev")},
			{"create with another tag", false, create("dev-2", "prod")},
			{"create without tags", false, create("dev-3", "")},
			{"create under another name", false, create("prod-2", "dev")},
			{"list", true, failed(ops.ListSAMLProviders(ctx, nil))},
			{"get another", false, failed(ops.GetSAMLProvider(ctx, &iam.GetSAMLProviderInput{SAMLProviderArn: aws.String(arn("prod"))}))},
			{"delete another", false, failed(ops.DeleteSAMLProvider(ctx, &iam.DeleteSAMLProviderInput{SAMLProviderArn: aws.String(arn("prod"))}))},
			{"create to delete", true, create("dev-4", "dev")},
			{"get", true, failed(ops.GetSAMLProvider(ctx, &iam.GetSAMLProviderInput{SAMLProviderArn: aws.String(arn("dev-4"))}))},
			{"delete", true, failed(ops.DeleteSAMLProvider(ctx, &iam.DeleteSAMLProviderInput{SAMLProviderArn: aws.String(arn("dev-4"))}))},
		} {
			if denied := f.err != nil && strings.HasPrefix(failure(f.err), "AccessDenied: "); f.err != nil && !denied || denied == f.allowed {
				t.Errorf("%s: %s", f.name, failure(f.err))
			}
		}
	})
}
