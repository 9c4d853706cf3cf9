package userpool

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"usher/internal/api/cognitoidp"
	"usher/internal/db"
)

// maxPage is how many items a page has at most, and without a limit.
const maxPage = 60

// page is a part of a listing. Lists are read in the order of a key that does not change, from after the key of the last
// item of the page before, so that what is added or deleted meanwhile moves nothing.
type page struct {
	s     *Service
	scope []byte   // what the listing's tokens are sealed for
	start []string // key of the item before the page
	limit int
}

// openPage returns the page that a request asks for. The token is valid only for the listing that scope names: operation,
// pool, filter.
func (s *Service) openPage(token *string, limit *int32, scope ...string) (*page, error) {
	p := &page{s: s, limit: maxPage}
	p.scope, _ = json.Marshal(scope) // strings do not fail
	if n := deref(limit); n > 0 && n < maxPage {
		p.limit = int(n)
	}
	if token == nil {
		return p, nil
	}
	sealed, err := base64.RawURLEncoding.DecodeString(*token)
	if err != nil {
		return nil, errPaginationToken
	}
	start, err := s.pages.Open(sealed, p.scope)
	if err != nil || json.Unmarshal(start, &p.start) != nil {
		return nil, errPaginationToken
	}
	return p, nil
}

// after returns part i of the key that the page begins after: "", which sorts before all others, on the first.
func (p *page) after(i int) string {
	if i >= len(p.start) {
		return ""
	}
	return p.start[i]
}

// fetch is how many rows to read: one more than the page has, to learn whether it is the last.
func (p *page) fetch() int { return p.limit + 1 }

// cut returns the rows of the page, and the token of the next.
func cut[T any](p *page, rows []T, key func(*T) []string) ([]T, *string) {
	if len(rows) <= p.limit {
		return rows, nil
	}
	rows = rows[:p.limit]
	last, _ := json.Marshal(key(&rows[p.limit-1])) // strings do not fail
	token := base64.RawURLEncoding.EncodeToString(p.s.pages.Seal(last, p.scope))
	return rows, &token
}

// listColumns are userColumns without what lists do not show.
var listColumns = strings.Replace(userColumns, "u.salt, u.verifier", "NULL, NULL", 1)

// ListUsers lists the users of a pool, all or those that a filter finds.
func (s *Service) ListUsers(ctx context.Context, in *cognitoidp.ListUsersRequest) (*cognitoidp.ListUsersResponse, error) {
	p, err := s.ownPool(ctx, *in.UserPoolId)
	if err != nil {
		return nil, err
	}
	for _, name := range in.AttributesToGet {
		if p.schema[name] == nil {
			return nil, errNoSuchAttributes
		}
	}
	f, err := parseFilter(deref(in.Filter))
	if err != nil {
		return nil, err
	}
	page, err := s.openPage(in.PaginationToken, in.Limit, "ListUsers", p.ID, deref(in.Filter))
	if err != nil {
		return nil, err
	}
	where, order, args, none := p.find(f, page)
	out := &cognitoidp.ListUsersResponse{Users: []cognitoidp.UserType{}}
	if none {
		return out, nil
	}
	args = append(args, page.fetch())
	rows, err := db.All[userRow](ctx, s.DB, `SELECT `+listColumns+` FROM users u WHERE `+where+` ORDER BY `+order+` LIMIT $`+strconv.Itoa(len(args)), args...)
	if err != nil {
		return nil, err
	}
	rows, out.PaginationToken = cut(page, rows, func(r *userRow) []string { return p.position(f, r) })
	visible := func(name string) bool { return in.AttributesToGet == nil || slices.Contains(in.AttributesToGet, name) }
	for i := range rows {
		u := &user{userRow: rows[i]}
		w := wireUser(p, u)
		w.Attributes = wireAttributes(p, u, visible)
		out.Users = append(out.Users, *w)
	}
	return out, nil
}

// filter is what ListUsers finds users by; without an attribute, all.
type filter struct {
	attr   string
	prefix bool // else equal
	value  string
}

// filterColumns are the attributes that ListUsers can filter by, with their columns. Those without are found by columns of
// few values.
var filterColumns = map[string]string{
	"username": "u.username_key", "sub": "u.sub", "email": "u.email", "phone_number": "u.phone_number",
	"preferred_username": "u.preferred_username", "name": "u.name", "given_name": "u.given_name", "family_name": "u.family_name",
	"cognito:user_status": "", "status": "",
}

// parseFilter reads a filter: attribute, = or ^=, and a value in double quotes, in which a backslash escapes a quote or a
// backslash (ListUsers in the API reference).
func parseFilter(text string) (filter, error) {
	var f filter
	text = strings.TrimSpace(text)
	if text == "" {
		return f, nil
	}
	i := strings.IndexAny(text, "=^\" \t\r\n")
	if i < 0 {
		return f, errFilter("an operator is expected")
	}
	f.attr, text = text[:i], strings.TrimLeft(text[i:], " \t\r\n")
	if f.attr == "" {
		return f, errFilter("an attribute is expected")
	}
	text, f.prefix = strings.CutPrefix(text, "^")
	text, ok := strings.CutPrefix(text, "=")
	if !ok {
		return f, errFilter("the operator = or ^= is expected")
	}
	text, ok = strings.CutPrefix(strings.TrimLeft(text, " \t\r\n"), `"`)
	if !ok {
		return f, errFilter("a value in double quotes is expected")
	}
	var value strings.Builder
	for {
		i := strings.IndexAny(text, `"\`)
		if i < 0 || text[i] == '\\' && i+1 == len(text) {
			return f, errFilter("the value does not end")
		}
		value.WriteString(text[:i])
		if text[i] == '"' {
			text = text[i+1:]
			break
		}
		value.WriteByte(text[i+1])
		text = text[i+2:]
	}
	if strings.TrimSpace(text) != "" {
		return f, errFilter("nothing is expected after the value")
	}
	if _, ok := filterColumns[f.attr]; !ok {
		return f, errSearchAttribute(f.attr)
	}
	if f.value = value.String(); strings.Contains(f.value, "\x00") {
		return f, errFilter("the value contains a null character")
	}
	return f, nil
}

// find returns the condition and order under which the users that a filter finds follow after the start of the page; none
// says that it cannot find any.
func (p *pool) find(f filter, page *page) (where, order string, args []any, none bool) {
	where, order = `u.pool_id = $1 AND u.username_key > $2`, `u.username_key`
	args = []any{p.ID, page.after(0)}
	column := filterColumns[f.attr]
	switch {
	case f.attr == "":
	case f.attr == "cognito:user_status":
		statuses := f.among(strings.ToUpper(f.value), cognitoidp.UserStatusTypeUnconfirmed, cognitoidp.UserStatusTypeConfirmed,
			cognitoidp.UserStatusTypeResetRequired, cognitoidp.UserStatusTypeForceChangePassword, cognitoidp.UserStatusTypeExternalProvider)
		if statuses == nil {
			return "", "", nil, true
		}
		where += ` AND u.status IN ('` + strings.Join(statuses, `', '`) + `')`
		if !slices.Contains(statuses, cognitoidp.UserStatusTypeConfirmed) {
			where += ` AND u.status <> 'CONFIRMED'` // the condition of the index
		}
	case f.attr == "status":
		switch states := f.among(f.value, cognitoidp.StatusTypeEnabled, cognitoidp.StatusTypeDisabled); {
		case states == nil:
			return "", "", nil, true
		case len(states) == 2:
		case states[0] == cognitoidp.StatusTypeDisabled:
			where += ` AND NOT u.enabled`
		default:
			where += ` AND u.enabled`
		}
	case f.prefix:
		// In the order of the attribute, since those that begin alike lie together. Nothing sorts after the last code point.
		value := p.searchKey(f.attr, f.value)
		where = `u.pool_id = $1 AND ` + column + ` >= $2 AND ` + column + ` < $3 AND (` + column + `, u.username_key) > ($4, $5)`
		order = column + `, u.username_key`
		args = []any{p.ID, value, value + "\U0010FFFF", page.after(1), page.after(0)}
	default:
		where += ` AND ` + column + ` = $3`
		args = append(args, p.searchKey(f.attr, f.value))
	}
	return where, order, args, false
}

// among returns the values that the filter finds.
func (f filter) among(value string, values ...string) []string {
	var found []string
	for _, v := range values {
		if v == value || f.prefix && strings.HasPrefix(v, value) {
			found = append(found, v)
		}
	}
	return found
}

// position is the key of a user in the order of a filter.
func (p *pool) position(f filter, r *userRow) []string {
	key := []string{r.Key}
	if f.prefix && filterColumns[f.attr] != "" {
		switch f.attr {
		case "username":
			key = append(key, r.Key)
		case attrSub:
			key = append(key, r.Sub)
		default:
			key = append(key, p.searchKey(f.attr, r.Doc.V.Attributes[f.attr]))
		}
	}
	return key
}
