package iam

import (
	"bytes"
	"context"
	"encoding/csv"
	"strconv"
	"time"

	"usher/internal/api/iam"
	"usher/internal/db"
)

// reportLife is how long a credential report counts as current, and how long it can be had.
const reportLife = 4 * time.Hour

// reportColumns are those of a credential report (IAM User Guide, "Generate credential reports for your AWS account").
var reportColumns = []string{
	"user", "arn", "user_creation_time", "password_enabled", "password_last_used", "password_last_changed", "password_next_rotation", "mfa_active",
	"access_key_1_active", "access_key_1_last_rotated", "access_key_1_last_used_date", "access_key_1_last_used_region", "access_key_1_last_used_service",
	"access_key_2_active", "access_key_2_last_rotated", "access_key_2_last_used_date", "access_key_2_last_used_region", "access_key_2_last_used_service",
	"cert_1_active", "cert_1_last_rotated", "cert_2_active", "cert_2_last_rotated",
}

type report struct {
	Created int64
	Content []byte
}

func (s *Service) report(ctx context.Context) (*report, error) {
	r, err := db.One[report](ctx, s.DB, `SELECT created, content FROM iam_credential_reports WHERE account_id = $1`, account(ctx))
	if isNotFound(err) {
		return nil, nil
	}
	return &r, err
}

func (s *Service) expired(r *report) bool {
	return !s.Now().Before(time.UnixMicro(r.Created).Add(reportLife))
}

// GenerateCredentialReport implements iam:GenerateCredentialReport. A report that is current is kept.
func (s *Service) GenerateCredentialReport(ctx context.Context, _ *iam.GenerateCredentialReportRequest) (*iam.GenerateCredentialReportResponse, error) {
	complete := &iam.GenerateCredentialReportResponse{State: new(iam.ReportStateTypeComplete)}
	r, err := s.report(ctx)
	if err != nil || r != nil && !s.expired(r) {
		return complete, err
	}
	content, err := s.makeReport(ctx)
	if err != nil {
		return nil, err
	}
	return complete, s.DB.Tx(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO iam_credential_reports (account_id, created, content) VALUES ($1, $2, $3)
			ON CONFLICT (account_id) DO UPDATE SET created = excluded.created, content = excluded.content`, account(ctx), s.Now().UnixMicro(), content)
		return err
	})
}

// GetCredentialReport implements iam:GetCredentialReport.
func (s *Service) GetCredentialReport(ctx context.Context, _ *iam.GetCredentialReportRequest) (*iam.GetCredentialReportResponse, error) {
	r, err := s.report(ctx)
	switch {
	case err != nil:
		return nil, err
	case r == nil:
		return nil, iam.ErrCredentialReportNotPresent
	case s.expired(r):
		return nil, iam.ErrCredentialReportExpired
	}
	return &iam.GetCredentialReportResponse{Content: r.Content, ReportFormat: new(iam.ReportFormatTypeTextCsv), GeneratedTime: timeOf(r.Created)}, nil
}

const (
	notApplicable = "N/A"
	notSupported  = "not_supported"
	noInformation = "no_information"
)

func reportTime(micros int64) string {
	return time.UnixMicro(micros).UTC().Format("2006-01-02T15:04:05-07:00")
}

// makeReport lists the root user and the users of an account with their credentials.
func (s *Service) makeReport(ctx context.Context) ([]byte, error) {
	a := account(ctx)
	created, err := db.One[int64](ctx, s.DB, `SELECT created FROM accounts WHERE id = $1`, a)
	if err != nil {
		return nil, err
	}
	users, err := db.All[entity](ctx, s.DB, `SELECT `+entityColumns+` FROM iam_entities WHERE account_id = $1 AND kind = 'user' ORDER BY name_key LIMIT $2`, a, maxUsers)
	if err != nil {
		return nil, err
	}
	profiles, err := byUser(ctx, s, `SELECT `+profileColumns+` FROM iam_login_profiles
		WHERE user_id IN (SELECT id FROM iam_entities WHERE account_id = $1)`, a, func(p loginProfile) string { return p.UserID })
	if err != nil {
		return nil, err
	}
	devices, err := byUser(ctx, s, `SELECT user_id FROM iam_mfa_devices WHERE account_id = $1`, a, func(id string) string { return id })
	if err != nil {
		return nil, err
	}
	type key struct {
		ID, EntityID, Status string
		Created              int64
		Used                 *int64
		Service, Region      *string
	}
	keys, err := byUser(ctx, s, `SELECT k.id, k.entity_id, k.status, k.created, u.used, u.service, u.region
		FROM iam_access_keys k LEFT JOIN iam_last_used u ON u.access_key_id = k.id WHERE k.account_id = $1 ORDER BY k.created, k.id`, a, func(k key) string { return k.EntityID })
	if err != nil {
		return nil, err
	}
	policy, err := s.passwordPolicy(ctx)
	if err != nil {
		return nil, err
	}

	var out bytes.Buffer
	w := csv.NewWriter(&out)
	row := func(id string, fields []string) error {
		fields = append(fields, strconv.FormatBool(len(devices[id]) > 0))
		for i := range maxKeysPerUser {
			if i >= len(keys[id]) {
				fields = append(fields, "false", notApplicable, notApplicable, notApplicable, notApplicable)
				continue
			}
			k := keys[id][i]
			if use, ok := s.used.get(k.ID); ok {
				k.Used, k.Service, k.Region = &use.Used, &use.Service, &use.Region
			}
			fields = append(fields, strconv.FormatBool(k.Status == iam.StatusTypeActive), reportTime(k.Created))
			if k.Used == nil {
				fields = append(fields, notApplicable, notApplicable, notApplicable)
			} else {
				fields = append(fields, reportTime(*k.Used), *k.Region, *k.Service)
			}
		}
		return w.Write(append(fields, "false", notApplicable, "false", notApplicable))
	}
	err = w.Write(reportColumns)
	if err == nil {
		err = row(a, []string{"<root_account>", rootARN(a), reportTime(created), notSupported, noInformation, notSupported, notSupported})
	}
	for i := range users {
		u := &users[i]
		fields := []string{u.Name, u.ARN(), reportTime(u.Created), "false", notApplicable, notApplicable, notApplicable}
		if p := profiles[u.ID]; len(p) > 0 {
			changed := p[0].Doc.V.Changed
			fields[3], fields[4], fields[5] = "true", noInformation, reportTime(changed)
			if policy != nil && policy.MaxPasswordAge != nil {
				fields[6] = reportTime(changed + int64(*policy.MaxPasswordAge)*(24*time.Hour).Microseconds())
			}
		}
		if err == nil {
			err = row(u.ID, fields)
		}
	}
	w.Flush()
	if err == nil {
		err = w.Error()
	}
	return out.Bytes(), err
}

// byUser reads all rows of an account and sorts them by user.
func byUser[T any](ctx context.Context, s *Service, query, account string, user func(T) string) (map[string][]T, error) {
	list, err := db.All[T](ctx, s.DB, query, account)
	sorted := map[string][]T{}
	for _, v := range list {
		sorted[user(v)] = append(sorted[user(v)], v)
	}
	return sorted, err
}
