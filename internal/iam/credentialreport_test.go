package iam_test

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	apiiam "usher/internal/api/iam"
	"usher/internal/awsapi"
)

func TestCredentialReport(t *testing.T) {
	each(t, func(t *testing.T, s *server, c *iam.Client) {
		ctx, str := t.Context(), aws.String
		if _, err := c.GetCredentialReport(ctx, nil); !strings.HasPrefix(failure(err), "ReportNotPresent") {
			t.Error(failure(err))
		}
		must(c.CreateUser(ctx, &iam.CreateUserInput{UserName: str("alice")}))(t)
		must(c.CreateLoginProfile(ctx, &iam.CreateLoginProfileInput{UserName: str("alice"), Password: str("Correct-horse-1")}))(t)
		must(c.UpdateAccountPasswordPolicy(ctx, &iam.UpdateAccountPasswordPolicyInput{MaxPasswordAge: aws.Int32(90)}))(t)
		d := must(c.CreateVirtualMFADevice(ctx, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: str("alice")}))(t).VirtualMFADevice
		must(c.EnableMFADevice(ctx, &iam.EnableMFADeviceInput{UserName: str("alice"), SerialNumber: d.SerialNumber, AuthenticationCode1: s.code(t, d.Base32StringSeed, -1), AuthenticationCode2: s.code(t, d.Base32StringSeed, 0)}))(t)
		key := must(c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: str("alice")}))(t).AccessKey
		must(c.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: str("alice"), AccessKeyId: key.AccessKeyId, Status: types.StatusTypeInactive}))(t)

		if out := must(c.GenerateCredentialReport(ctx, nil))(t); out.State != types.ReportStateTypeComplete {
			t.Errorf("state %s", out.State)
		}
		out := must(c.GetCredentialReport(ctx, nil))(t)
		rows := must(csv.NewReader(bytes.NewReader(out.Content)).ReadAll())(t)
		if out.ReportFormat != types.ReportFormatTypeTextCsv || len(rows) != 4 || len(rows[0]) != 22 {
			t.Fatalf("%s: %s", out.ReportFormat, out.Content)
		}
		at := func(row int, column string) string {
			for i, name := range rows[0] {
				if name == column {
					return rows[row][i]
				}
			}
			t.Fatalf("no column %s", column)
			return ""
		}
		a := "arn:aws:iam::" + s.admin.Account + ":"
		for _, c := range []struct {
			row          int
			column, want string
		}{
			{1, "user", "<root_account>"}, {1, "arn", a + "root"}, {1, "password_enabled", "not_supported"}, {1, "mfa_active", "false"}, {1, "access_key_1_active", "false"},
			{2, "user", "admin"}, {2, "password_enabled", "false"}, {2, "password_last_changed", "N/A"}, {2, "access_key_1_active", "true"},
			{2, "access_key_1_last_used_service", "iam"}, {2, "access_key_1_last_used_region", "us-east-1"}, {2, "access_key_2_active", "false"}, {2, "access_key_2_last_rotated", "N/A"},
			{3, "user", "alice"}, {3, "arn", a + "user/alice"}, {3, "password_enabled", "true"}, {3, "password_last_used", "no_information"}, {3, "mfa_active", "true"},
			{3, "access_key_1_active", "false"}, {3, "access_key_1_last_used_date", "N/A"}, {3, "cert_1_active", "false"}, {3, "cert_2_last_rotated", "N/A"},
		} {
			if got := at(c.row, c.column); got != c.want {
				t.Errorf("row %d, %s: %s, want %s", c.row, c.column, got, c.want)
			}
		}
		const layout = "2006-01-02T15:04:05+00:00"
		changed := must(time.Parse(layout, at(3, "password_last_changed")))(t)
		if next := must(time.Parse(layout, at(3, "password_next_rotation")))(t); next.Sub(changed) != 90*24*time.Hour {
			t.Errorf("changed %v, next %v", changed, next)
		}

		must(c.CreateUser(ctx, &iam.CreateUserInput{UserName: str("bob")}))(t)
		must(c.GenerateCredentialReport(ctx, nil))(t)
		if again := must(c.GetCredentialReport(ctx, nil))(t); !bytes.Equal(again.Content, out.Content) {
			t.Error("a report that is current was made anew")
		}
		s.pass(4 * time.Hour) // too much for signatures
		caller := awsapi.WithCaller(ctx, awsapi.Caller{AccountID: s.admin.Account})
		if _, err := s.GetCredentialReport(caller, nil); err != apiiam.ErrCredentialReportExpired {
			t.Errorf("an old report: %v", err)
		}
		must(s.GenerateCredentialReport(caller, nil))(t)
		if got := must(s.GetCredentialReport(caller, nil))(t); !strings.Contains(string(got.Content), "\nbob,") {
			t.Errorf("new report %s", got.Content)
		}
	})
}
