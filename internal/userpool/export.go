package userpool

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"usher/internal/api/cognitoidp"
	"usher/internal/awsapi"
	"usher/internal/db"
)

// Export of users, in the files that import jobs take. It is an operator's: no API gives hashes of passwords away.

// Bounds of a file that an import job takes.
const (
	ImportMostRows  = mostImportRows
	ImportMostBytes = mostImportBytes
)

// exportPage is how many users are read at once.
const exportPage = 500

// ExportPage is some of a pool's users, in the order of their names.
type ExportPage struct {
	Header string
	Rows   []string
	Hashes int // how many of the rows have the hash of a password
	// LeftOut are users who are not among the rows, Refused those among them whom an import job of the pool would not take.
	LeftOut, Refused []ExportNote
	Next             string // what to go on after; "" if there are no more
}

// ExportNote says something of a user.
type ExportNote struct{ Username, Why string }

// ExportUsers returns the users after a page's Next, "" for the first, as rows of a file for import jobs with a
// PasswordHashingAlgorithm. Passwords that are kept in another way, or not to be signed in with as they are, are not in it.
func (s *Service) ExportUsers(ctx context.Context, poolID, algorithm, after string) (*ExportPage, error) {
	p, err := s.pool(ctx, poolID)
	if err != nil {
		return nil, err
	}
	if !slices.Contains([]string{algorithmArgon2id, algorithmBcrypt, algorithmScrypt, algorithmPBKDF2}, algorithm) {
		return nil, errHashAlgorithm(algorithm)
	}
	rows, err := db.All[userRow](ctx, s.DB, `SELECT `+userColumns+` FROM users u WHERE u.pool_id = $1 AND u.username_key > $2 ORDER BY u.username_key LIMIT $3`,
		p.ID, after, exportPage)
	if err != nil {
		return nil, err
	}
	columns := importHeader(p)
	page := &ExportPage{Header: strings.Join(columns, ","), Rows: []string{}}
	for i := range rows {
		u := p.user(rows[i])
		row, hashed, err := s.exportedUser(p, u, algorithm, columns)
		if why, ok := errors.AsType[*awsapi.Error](err); ok {
			page.LeftOut = append(page.LeftOut, ExportNote{u.Username, why.Message})
			continue
		} else if err != nil {
			return nil, err
		}
		if hashed {
			page.Hashes++
		}
		if _, err := s.importedUser(p, algorithm, columns, row); err != nil {
			page.Refused = append(page.Refused, ExportNote{u.Username, err.Error()})
		}
		page.Rows = append(page.Rows, row)
	}
	if len(rows) == exportPage {
		page.Next = rows[exportPage-1].Key
	}
	return page, nil
}

// exportedUser returns the row of a user, and whether it has the hash of his password. An awsapi.Error says why there is none.
func (s *Service) exportedUser(p *pool, u *user, algorithm string, columns []string) (row string, hashed bool, err error) {
	switch {
	case !u.Enabled:
		return "", false, errImportRow("is disabled, which an import would undo")
	case u.Status == cognitoidp.UserStatusTypeExternalProvider:
		return "", false, errImportRow("signs in with another provider")
	}
	fields := make([]string, len(columns))
	for i, column := range columns {
		switch column {
		case columnUsername:
			if fields[i] = u.exportedName(p); fields[i] == "" {
				return "", false, errImportRow("has no attribute to be named by")
			}
		case columnMFA:
			if p.mfaMode() != cognitoidp.UserPoolMfaTypeOff && u.mfa().enabled(factorSMS) {
				fields[i] = "TRUE"
			}
		case columnHash:
			if fields[i], err = s.exportedHash(p, u, algorithm); err != nil {
				return "", false, err
			}
			hashed = fields[i] != ""
		default:
			fields[i] = exportedValue(p.schema[column], u.attributes()[column])
		}
	}
	escaped := make([]string, len(fields))
	for i, field := range fields {
		escaped[i] = strings.ReplaceAll(field, ",", `\,`)
	}
	row = strings.Join(escaped, ",")
	switch {
	case strings.ContainsAny(row, "\r\n"), !slices.Equal(splitImportRow(row), fields):
		return "", false, errImportRow("has a value that the form of the file cannot hold")
	case len([]rune(row)) > mostImportRow:
		return "", false, errImportRow("has more than 16,000 characters of attributes")
	}
	return row, hashed, nil
}

// exportedName is what an import names the user by: where usernames are made from an attribute, its value.
func (u *user) exportedName(p *pool) string {
	if p.Settings.UsernameAttributes == nil {
		return u.Username
	}
	for _, attr := range []string{attrEmail, attrPhone} {
		if value := u.attributes()[attr]; p.isUsername(attr) && value != "" {
			return value
		}
	}
	return ""
}

// exportedHash is the hash of a password that the user can sign in with: not of one that is temporary or to be reset.
func (s *Service) exportedHash(p *pool, u *user, algorithm string) (string, error) {
	if u.Doc.V.Hash == nil || u.Status != cognitoidp.UserStatusTypeConfirmed {
		return "", nil
	}
	text, err := s.openHash(p, u, u.Doc.V.Hash)
	if err != nil || algorithmOf(text) != algorithm {
		return "", err
	}
	return text, nil
}

// exportedValue is the inverse of importedValue.
func exportedValue(a *cognitoidp.SchemaAttributeType, value string) string {
	if *a.AttributeDataType == typeBoolean {
		return strings.ToUpper(value)
	}
	if day, err := time.Parse(time.DateOnly, value); *a.Name == "birthdate" && err == nil {
		return day.Format("01/02/2006")
	}
	return value
}
