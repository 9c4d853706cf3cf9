package iam

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"usher/internal/api/iam"
	"usher/internal/arn"
	"usher/internal/awsapi"
	"usher/internal/db"
	"usher/internal/ids"
	"usher/internal/policy"
)

// Users, groups and roles have much in common: a name and a path, inline policies, attached policies, tags and (not for
// groups) a permissions boundary. They are kinds of entity.
const (
	userKind  = "user"
	groupKind = "group"
	roleKind  = "role"
)

// entity is a row of iam_entities.
type entity struct {
	ID, AccountID, Kind string
	Name, NameKey, Path string
	Created, Rev        int64
	Doc                 db.JSON[entityDoc]
}

const entityColumns = `id, account_id, kind, name, name_key, path, created, rev, doc`

type entityDoc struct {
	Inline   map[string]string `json:"inline,omitempty"` // by policy name, as sent
	Boundary string            `json:"boundary,omitempty"`
	Tags     []tag             `json:"tags,omitempty"`

	// Roles.
	Description string            `json:"description,omitempty"`
	MaxSession  int32             `json:"maxSession,omitempty"` // seconds; 0 if never given
	Trust       string            `json:"trust,omitempty"`      // as sent
	TrustIDs    map[string]string `json:"trustIds,omitempty"`   // unique ids of the users and roles in it, by ARN
}

// ARN of the user, group or role.
func (e *entity) ARN() string { return entityARN(e.AccountID, e.Kind, e.Path, e.Name) }

func entityARN(account, kind, path, name string) string {
	return "arn:aws:iam::" + account + ":" + kind + path + name
}

// title is the kind as messages begin with it.
func title(kind string) string { return strings.ToUpper(kind[:1]) + kind[1:] }

func noSuchEntity(kind, name string) error {
	return iam.ErrNoSuchEntity.Msg("The %s with name %s cannot be found.", kind, name)
}

// findEntity reads an entity by its name in any case. Its error is db.ErrNotFound if there is none.
func (s *Service) findEntity(ctx context.Context, q db.Querier, account, kind, name string) (*entity, error) {
	e, err := db.One[entity](ctx, q, `SELECT `+entityColumns+` FROM iam_entities WHERE account_id = $1 AND kind = $2 AND name_key = $3`,
		account, kind, strings.ToLower(name))
	return &e, err
}

// entity is findEntity with the error that the API has for a missing one.
func (s *Service) entity(ctx context.Context, q db.Querier, kind string, name *string) (*entity, error) {
	e, err := s.findEntity(ctx, q, account(ctx), kind, str(name))
	if isNotFound(err) {
		return nil, noSuchEntity(kind, str(name))
	}
	return e, err
}

func (s *Service) entityByID(ctx context.Context, q db.Querier, id string) (*entity, error) {
	e, err := db.One[entity](ctx, q, `SELECT `+entityColumns+` FROM iam_entities WHERE id = $1`, id)
	return &e, err
}

// entityByARN reads a user or role by its exact ARN; db.ErrNotFound if nobody bears it.
func (s *Service) entityByARN(ctx context.Context, q db.Querier, text string) (*entity, error) {
	a, err := arn.Parse(text)
	if err != nil {
		return nil, db.ErrNotFound
	}
	kind, name := a.Type()
	e, err := s.findEntity(ctx, q, a.AccountID, kind, name[strings.LastIndexByte(name, '/')+1:])
	if err == nil && e.ARN() != text {
		err = db.ErrNotFound
	}
	return e, err
}

// newEntity is what the creation of a user, group or role has in common.
type newEntity struct {
	kind, id   string
	name, path *string
	boundary   *string
	tags       []iam.Tag
	quotaName  string
	quota      int
}

// createEntity inserts an entity. prepare fills in the rest of its document.
func (s *Service) createEntity(ctx context.Context, n newEntity, prepare func(*db.Tx, *entity) error) (*entity, error) {
	var e *entity
	err := s.DB.Tx(ctx, func(tx *db.Tx) error {
		e = &entity{ID: n.id, AccountID: account(ctx), Kind: n.kind, Name: *n.name, NameKey: strings.ToLower(*n.name), Path: cmp.Or(str(n.path), "/"), Created: s.Now().UnixMicro(), Rev: 1}
		return s.insertEntity(ctx, tx, e, n, prepare)
	})
	if db.IsUnique(err) {
		return nil, iam.ErrEntityAlreadyExists.Msg("%s with name %s already exists.", title(n.kind), *n.name)
	}
	return e, err
}

func (s *Service) insertEntity(ctx context.Context, tx *db.Tx, e *entity, n newEntity, prepare func(*db.Tx, *entity) error) error {
	tags, err := newTags(n.tags, true)
	if err != nil {
		return err
	}
	e.Doc.V.Tags = tags
	if _, err := s.findEntity(ctx, tx, e.AccountID, e.Kind, e.Name); err == nil {
		return iam.ErrEntityAlreadyExists.Msg("%s with name %s already exists.", title(e.Kind), e.Name)
	} else if !isNotFound(err) {
		return err
	}
	count, err := db.One[int64](ctx, tx, `SELECT COUNT(*) FROM iam_entities WHERE account_id = $1 AND kind = $2`, e.AccountID, e.Kind)
	if err != nil {
		return err
	}
	if count >= int64(n.quota) {
		return quota(n.quotaName, n.quota)
	}
	if prepare != nil {
		if err := prepare(tx, e); err != nil {
			return err
		}
	}
	if n.boundary != nil {
		if err := s.checkBoundary(ctx, tx, *n.boundary); err != nil {
			return err
		}
		e.Doc.V.Boundary = *n.boundary
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO iam_entities (`+entityColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		e.ID, e.AccountID, e.Kind, e.Name, e.NameKey, e.Path, e.Created, e.Rev, e.Doc); err != nil {
		return err
	}
	s.touch(tx, e)
	return s.recordBoundary(ctx, tx, e)
}

// touch drops what the caches hold of e.
func (s *Service) touch(tx *db.Tx, e *entity) {
	tx.Invalidate(entityScope(e.ID))
	if e.Kind == roleKind {
		tx.Invalidate(roleScope(e.AccountID, e.NameKey))
	}
}

// changeEntity edits an entity found by name.
func (s *Service) changeEntity(ctx context.Context, kind string, name *string, change func(*db.Tx, *entity) error) error {
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		e, err := s.entity(ctx, tx, kind, name)
		if err != nil {
			return err
		}
		if err := modifiable(e); err != nil {
			return err
		}
		if err := change(tx, e); err != nil {
			return err
		}
		return s.updateEntity(ctx, tx, e)
	})
}

func (s *Service) updateEntity(ctx context.Context, tx *db.Tx, e *entity) error {
	s.touch(tx, e)
	return db.Changed(tx.ExecContext(ctx, `UPDATE iam_entities SET name = $1, name_key = $2, path = $3, doc = $4, rev = rev + 1 WHERE id = $5 AND rev = $6`,
		e.Name, e.NameKey, e.Path, e.Doc, e.ID, e.Rev))
}

// modifiable refuses changes to roles that belong to a service.
func modifiable(e *entity) error {
	if e.Kind == roleKind && isProtected(e.Path) {
		return iam.ErrUnmodifiableEntity.Msg("Cannot perform the operation on the protected role '%s' - this role is only modifiable by AWS", e.Name)
	}
	return nil
}

// rename moves a user or group to another name or path.
func (s *Service) rename(ctx context.Context, kind string, name, newName, newPath *string) error {
	err := s.changeEntity(ctx, kind, name, func(tx *db.Tx, e *entity) error {
		if newPath != nil {
			e.Path = *newPath
		}
		if newName == nil {
			return nil
		}
		e.Name, e.NameKey = *newName, strings.ToLower(*newName)
		other, err := s.findEntity(ctx, tx, e.AccountID, kind, *newName)
		if err == nil && other.ID != e.ID {
			return iam.ErrEntityAlreadyExists.Msg("%s with name %s already exists.", title(kind), *newName)
		}
		return ignoreNotFound(err)
	})
	if db.IsUnique(err) {
		return iam.ErrEntityAlreadyExists.Msg("%s with name %s already exists.", title(kind), str(newName))
	}
	return err
}

// deleteEntity removes an entity that nothing hangs on any more. check adds the conditions of its kind.
func (s *Service) deleteEntity(ctx context.Context, kind string, name *string, check func(*db.Tx, *entity) error) error {
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		e, err := s.entity(ctx, tx, kind, name)
		if err != nil {
			return err
		}
		if err := modifiable(e); err != nil {
			return err
		}
		if check != nil {
			if err := check(tx, e); err != nil {
				return err
			}
		}
		attached, err := db.One[int64](ctx, tx, `SELECT COUNT(*) FROM iam_attachments WHERE entity_id = $1 AND boundary = 0`, e.ID)
		switch {
		case err != nil:
			return err
		case attached > 0:
			return iam.ErrDeleteConflict.Msg("Cannot delete entity, must detach all policies first.")
		case len(e.Doc.V.Inline) > 0:
			return iam.ErrDeleteConflict.Msg("Cannot delete entity, must delete policies first.")
		}
		s.touch(tx, e)
		return db.Changed(tx.ExecContext(ctx, `DELETE FROM iam_entities WHERE id = $1 AND rev = $2`, e.ID, e.Rev))
	})
}

// listEntities reads a page of the entities of one kind.
func (s *Service) listEntities(ctx context.Context, kind string, prefix, marker *string, max *int32) ([]entity, *page, error) {
	p, err := newPage(marker, max)
	if err != nil {
		return nil, nil, err
	}
	from, to := pathRange(prefix)
	list, err := db.All[entity](ctx, s.DB, `SELECT `+entityColumns+` FROM iam_entities
		WHERE account_id = $1 AND kind = $2 AND name_key > $3 AND path >= $4 AND path < $5 ORDER BY name_key LIMIT $6`,
		account(ctx), kind, p.after, from, to, p.size+1)
	return cut(p, list, func(e entity) string { return e.NameKey }), p, err
}

// Inline policies.

// maxInline is the sum of an entity's inline policies, in characters without white space.
var maxInline = map[string]int{userKind: policy.MaxUserInline, groupKind: policy.MaxGroupInline, roleKind: policy.MaxRoleInline}

func (s *Service) putInline(ctx context.Context, kind string, name, policyName, document *string) error {
	return s.changeEntity(ctx, kind, name, func(_ *db.Tx, e *entity) error {
		if err := checkDocument(*document, policy.KindInline); err != nil {
			return err
		}
		if e.Doc.V.Inline == nil {
			e.Doc.V.Inline = map[string]string{}
		}
		e.Doc.V.Inline[*policyName] = *document
		size := 0
		for _, text := range e.Doc.V.Inline {
			size += policy.Size(text)
		}
		if max := maxInline[kind]; size > max {
			return iam.ErrLimitExceeded.Msg("Maximum policy size of %d bytes exceeded for %s %s", max, kind, e.Name)
		}
		return nil
	})
}

func noSuchInline(kind string, name *string) error {
	return iam.ErrNoSuchEntity.Msg("The %s policy with name %s cannot be found.", kind, str(name))
}

func (s *Service) getInline(ctx context.Context, kind string, name, policyName *string) (*entity, string, error) {
	e, err := s.entity(ctx, s.DB, kind, name)
	if err != nil {
		return nil, "", err
	}
	text, ok := e.Doc.V.Inline[str(policyName)]
	if !ok {
		return nil, "", noSuchInline(kind, policyName)
	}
	return e, text, nil
}

func (s *Service) deleteInline(ctx context.Context, kind string, name, policyName *string) error {
	return s.changeEntity(ctx, kind, name, func(_ *db.Tx, e *entity) error {
		if _, ok := e.Doc.V.Inline[str(policyName)]; !ok {
			return noSuchInline(kind, policyName)
		}
		delete(e.Doc.V.Inline, str(policyName))
		return nil
	})
}

func (s *Service) listInline(ctx context.Context, kind string, name, marker *string, max *int32) ([]string, *page, error) {
	p, err := newPage(marker, max)
	if err != nil {
		return nil, nil, err
	}
	e, err := s.entity(ctx, s.DB, kind, name)
	if err != nil {
		return nil, nil, err
	}
	names := sortedKeys(e.Doc.V.Inline)
	names = slices.DeleteFunc(names, func(n string) bool { return n <= p.after })
	return cut(p, names, func(n string) string { return n }), p, nil
}

// Attached policies.

func (s *Service) attach(ctx context.Context, kind string, name, policyARN *string) error {
	return s.changeEntity(ctx, kind, name, func(tx *db.Tx, e *entity) error {
		if err := s.checkAttachable(ctx, tx, *policyARN); err != nil {
			return err
		}
		others, err := db.One[int64](ctx, tx, `SELECT COUNT(*) FROM iam_attachments WHERE entity_id = $1 AND boundary = 0 AND policy_arn <> $2`, e.ID, *policyARN)
		if err != nil {
			return err
		}
		if others >= maxAttached {
			return quota("PoliciesPer"+title(kind), maxAttached)
		}
		return s.recordAttachment(ctx, tx, e, *policyARN, 0)
	})
}

func (s *Service) recordAttachment(ctx context.Context, tx *db.Tx, e *entity, policyARN string, boundary int) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO iam_attachments (entity_id, policy_arn, boundary, account_id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		e.ID, policyARN, boundary, e.AccountID)
	return err
}

func (s *Service) detach(ctx context.Context, kind string, name, policyARN *string) error {
	return s.changeEntity(ctx, kind, name, func(tx *db.Tx, e *entity) error {
		if _, err := arn.Parse(*policyARN); err != nil {
			return errUnparsableARN
		}
		res, err := tx.ExecContext(ctx, `DELETE FROM iam_attachments WHERE entity_id = $1 AND policy_arn = $2 AND boundary = 0`, e.ID, *policyARN)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err == nil && n == 0 {
			return iam.ErrNoSuchEntity.Msg("Policy %s was not found.", *policyARN)
		}
		return err
	})
}

func (s *Service) listAttached(ctx context.Context, kind string, name, prefix, marker *string, max *int32) ([]iam.AttachedPolicy, *page, error) {
	p, err := newPage(marker, max)
	if err != nil {
		return nil, nil, err
	}
	e, err := s.entity(ctx, s.DB, kind, name)
	if err != nil {
		return nil, nil, err
	}
	arns, err := db.All[string](ctx, s.DB, `SELECT policy_arn FROM iam_attachments WHERE entity_id = $1 AND boundary = 0 AND policy_arn > $2 ORDER BY policy_arn`, e.ID, p.after)
	if err != nil {
		return nil, nil, err
	}
	arns = slices.DeleteFunc(arns, func(a string) bool { return !strings.HasPrefix(policyPath(a), str(prefix)) })
	var list []iam.AttachedPolicy
	for _, a := range cut(p, arns, func(a string) string { return a }) {
		list = append(list, iam.AttachedPolicy{PolicyName: new(policyName(a)), PolicyArn: new(a)})
	}
	return list, p, nil
}

// Permissions boundaries.

func (s *Service) putBoundary(ctx context.Context, kind string, name, policyARN *string) error {
	return s.changeEntity(ctx, kind, name, func(tx *db.Tx, e *entity) error {
		if err := s.checkBoundary(ctx, tx, *policyARN); err != nil {
			return err
		}
		e.Doc.V.Boundary = *policyARN
		return s.recordBoundary(ctx, tx, e)
	})
}

func (s *Service) deleteBoundary(ctx context.Context, kind string, name *string) error {
	return s.changeEntity(ctx, kind, name, func(tx *db.Tx, e *entity) error {
		if e.Doc.V.Boundary == "" {
			return iam.ErrNoSuchEntity.Msg("%s %s does not have a permissions boundary.", title(kind), e.Name)
		}
		e.Doc.V.Boundary = ""
		return s.recordBoundary(ctx, tx, e)
	})
}

// recordBoundary makes the table of attachments say what the document says.
func (s *Service) recordBoundary(ctx context.Context, tx *db.Tx, e *entity) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM iam_attachments WHERE entity_id = $1 AND boundary = 1`, e.ID); err != nil || e.Doc.V.Boundary == "" {
		return err
	}
	return s.recordAttachment(ctx, tx, e, e.Doc.V.Boundary, 1)
}

func (s *Service) checkBoundary(ctx context.Context, tx *db.Tx, policyARN string) error {
	a, err := arn.Parse(policyARN)
	if kind, _ := a.Type(); err != nil || a.Service != "iam" || kind != "policy" {
		return errValidation.Msg("Value (%s) for parameter PermissionsBoundary is invalid.", policyARN)
	}
	if ok, err := s.policyExists(ctx, tx, policyARN); err != nil || ok && !strings.HasPrefix(policyARN, rootTaskPolicies) {
		return err
	}
	return iam.ErrNoSuchEntity.Msg("Scope ARN: %s does not exist or is not attachable.", policyARN)
}

func (e *entity) boundary() *iam.AttachedPermissionsBoundary {
	if e.Doc.V.Boundary == "" {
		return nil
	}
	return &iam.AttachedPermissionsBoundary{
		PermissionsBoundaryType: new(iam.PermissionsBoundaryAttachmentTypePermissionsBoundaryPolicy),
		PermissionsBoundaryArn:  new(e.Doc.V.Boundary),
	}
}

// requireUser finds the user whom a call names, or who makes it when it names nobody. For the root user the entity is
// nil and the id the account's.
func (s *Service) requireUser(ctx context.Context, q db.Querier, name *string) (e *entity, id string, err error) {
	if name != nil {
		e, err = s.entity(ctx, q, userKind, name)
		if err != nil {
			return nil, "", err
		}
		return e, e.ID, nil
	}
	id, ok := callerUser(ctx)
	if !ok {
		return nil, "", errMustSpecifyUser
	}
	if id == account(ctx) {
		return nil, id, nil
	}
	e, err = s.entityByID(ctx, q, id)
	if isNotFound(err) {
		err = awsapi.ErrInvalidClientToken
	}
	return e, id, err
}

// newID makes the unique id of an entity.
var newID = map[string]func() string{userKind: ids.User, groupKind: ids.Group, roleKind: ids.Role}
