package iam

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"image/png"
	"net/url"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"usher/internal/api/iam"
	"usher/internal/db"
)

// A virtual MFA device is a secret that an authenticator app shares with IAM, and from which both compute a code of six
// digits for each step of 30 seconds (RFC 6238). A code is good once: the step of the last accepted one is kept.
const (
	mfaStep       = 30 // seconds
	mfaSecretSize = 40 // bytes: 64 characters of base32, as AWS has it
	mfaSlack      = 1  // steps that a code may be early or late
	mfaPairSlack  = 10 // steps that the clock of a device may be off when it is enabled
	mfaResync     = 2 * 60 * 24
	maxMFADevices = 8 // of a user
)

// mfaDevice is a row of iam_mfa_devices.
type mfaDevice struct {
	Serial, AccountID, NameKey, UserID string
	Created, Rev                       int64
	Secret                             []byte
	Doc                                db.JSON[mfaDoc]
}

const mfaColumns = `serial, account_id, name_key, user_id, created, rev, secret, doc`

type mfaDoc struct {
	Enabled int64   `json:"enabled,omitempty"` // µs
	Drift   int64   `json:"drift,omitempty"`   // steps that its clock is ahead
	Last    int64   `json:"last,omitempty"`    // step of the last accepted code
	Guesses guesses `json:"guesses"`
	Tags    []tag   `json:"tags,omitempty"`
}

// guesses counts wrong answers in a row. After a few, each further one makes the next wait longer, so that six digits
// cannot be tried out.
type guesses struct {
	Wrong int   `json:"wrong,omitempty"`
	Last  int64 `json:"last,omitempty"` // µs
}

const (
	freeGuesses = 5
	firstWait   = 30 * time.Second
	longestWait = 16 * time.Minute
)

func (g *guesses) mustWait(now time.Time) bool {
	if g.Wrong < freeGuesses {
		return false
	}
	wait := min(firstWait<<min(g.Wrong-freeGuesses, 10), longestWait)
	return now.Before(time.UnixMicro(g.Last).Add(wait))
}

// note records an answer and returns whether it was right.
func (g *guesses) note(right bool, now time.Time) bool {
	if right {
		*g = guesses{}
	} else {
		g.Wrong++
		g.Last = now.UnixMicro()
	}
	return right
}

func noSuchDevice(serial string) error {
	return iam.ErrNoSuchEntity.Msg("MFA Device with serial number %s does not exist.", serial)
}

var (
	errBadCode   = iam.ErrInvalidAuthenticationCode.Msg("Authentication code for device is not valid.")
	errMFAExists = iam.ErrEntityAlreadyExists.Msg("MFA device already exists.")
	errMFAInUse  = iam.ErrEntityAlreadyExists.Msg("MFA Device is already in use.")
)

func (s *Service) mfaDevice(ctx context.Context, q db.Querier, serial string) (*mfaDevice, error) {
	d, err := db.One[mfaDevice](ctx, q, `SELECT `+mfaColumns+` FROM iam_mfa_devices WHERE serial = $1 AND account_id = $2`, serial, account(ctx))
	if isNotFound(err) {
		return nil, noSuchDevice(serial)
	}
	return &d, err
}

func (s *Service) updateMFA(ctx context.Context, tx *db.Tx, d *mfaDevice) error {
	return db.Changed(tx.ExecContext(ctx, `UPDATE iam_mfa_devices SET user_id = $1, doc = $2, rev = rev + 1 WHERE serial = $3 AND rev = $4`,
		d.UserID, d.Doc, d.Serial, d.Rev))
}

// seed is the shared secret in base32.
func (s *Service) seed(d *mfaDevice) (string, error) {
	secret, err := s.Box.Open(d.Secret, []byte(d.Serial))
	if err != nil {
		return "", fmt.Errorf("iam: secret of %s: %w", d.Serial, err)
	}
	return base32.StdEncoding.EncodeToString(secret), nil
}

// CreateVirtualMFADevice implements iam:CreateVirtualMFADevice. The secret is shown this once.
func (s *Service) CreateVirtualMFADevice(ctx context.Context, in *iam.CreateVirtualMFADeviceRequest) (*iam.CreateVirtualMFADeviceResponse, error) {
	tags, err := newTags(in.Tags, false)
	if err != nil {
		return nil, err
	}
	secret := make([]byte, mfaSecretSize)
	rand.Read(secret)
	d := &mfaDevice{
		Serial: entityARN(account(ctx), "mfa", cmp.Or(str(in.Path), "/"), *in.VirtualMFADeviceName), AccountID: account(ctx),
		NameKey: strings.ToLower(*in.VirtualMFADeviceName), Created: s.Now().UnixMicro(), Rev: 1, Doc: db.JSON[mfaDoc]{V: mfaDoc{Tags: tags}},
	}
	d.Secret = s.Box.Seal(secret, []byte(d.Serial))
	seed := base32.StdEncoding.EncodeToString(secret)
	alias, err := s.alias(ctx, s.DB, account(ctx))
	if err != nil {
		return nil, err
	}
	code, err := qrCode(*in.VirtualMFADeviceName+"@"+cmp.Or(alias, account(ctx)), seed)
	if err != nil {
		return nil, err
	}
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		named, err := db.One[int64](ctx, tx, `SELECT COUNT(*) FROM iam_mfa_devices WHERE account_id = $1 AND name_key = $2`, d.AccountID, d.NameKey)
		if err != nil {
			return err
		}
		if named > 0 {
			return errMFAExists
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO iam_mfa_devices (`+mfaColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			d.Serial, d.AccountID, d.NameKey, d.UserID, d.Created, d.Rev, d.Secret, d.Doc)
		return err
	})
	if db.IsUnique(err) {
		err = errMFAExists
	}
	if err != nil {
		return nil, err
	}
	return &iam.CreateVirtualMFADeviceResponse{VirtualMFADevice: &iam.VirtualMFADevice{
		SerialNumber: &d.Serial, Base32StringSeed: []byte(seed), QRCodePNG: code, Tags: wireTags(tags),
	}}, nil
}

const qrSize = 300 // pixels

// qrCode is what an authenticator app scans: a PNG image of the key as a URI.
func qrCode(label, seed string) ([]byte, error) {
	key, err := otp.NewKeyFromURL("otpauth://totp/" + url.PathEscape(label) + "?secret=" + seed)
	if err != nil {
		return nil, err
	}
	image, err := key.Image(qrSize, qrSize)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = png.Encode(&out, image)
	return out.Bytes(), err
}

// DeleteVirtualMFADevice implements iam:DeleteVirtualMFADevice.
func (s *Service) DeleteVirtualMFADevice(ctx context.Context, in *iam.DeleteVirtualMFADeviceRequest) error {
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		d, err := s.mfaDevice(ctx, tx, *in.SerialNumber)
		if err != nil {
			return err
		}
		if d.UserID != "" {
			return iam.ErrDeleteConflict.Msg("MFA VirtualDevice in use. Must deactivate first.")
		}
		return db.Changed(tx.ExecContext(ctx, `DELETE FROM iam_mfa_devices WHERE serial = $1 AND rev = $2`, d.Serial, d.Rev))
	})
}

// ListVirtualMFADevices implements iam:ListVirtualMFADevices.
func (s *Service) ListVirtualMFADevices(ctx context.Context, in *iam.ListVirtualMFADevicesRequest) (*iam.ListVirtualMFADevicesResponse, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	list, err := db.All[mfaDevice](ctx, s.DB, `SELECT `+mfaColumns+` FROM iam_mfa_devices
		WHERE account_id = $1 AND serial > $2 AND ($3 <> 'Assigned' OR user_id <> '') AND ($3 <> 'Unassigned' OR user_id = '')
		ORDER BY serial LIMIT $4`, account(ctx), p.after, str(in.AssignmentStatus), p.size+1)
	if err != nil {
		return nil, err
	}
	out := &iam.ListVirtualMFADevicesResponse{}
	for _, d := range cut(p, list, func(d mfaDevice) string { return d.Serial }) {
		w := iam.VirtualMFADevice{SerialNumber: &d.Serial}
		if d.UserID != "" {
			e, err := s.entityByID(ctx, s.DB, d.UserID)
			if err != nil && !isNotFound(err) {
				return nil, err
			} else if err == nil {
				w.User, w.EnableDate = wireUser(e), timeOf(d.Doc.V.Enabled)
			}
		}
		out.VirtualMFADevices = append(out.VirtualMFADevices, w)
	}
	out.IsTruncated, out.Marker = p.isTruncated(), p.marker()
	return out, nil
}

// EnableMFADevice implements iam:EnableMFADevice. Two codes in a row show that the user has the device, and what time it
// has.
func (s *Service) EnableMFADevice(ctx context.Context, in *iam.EnableMFADeviceRequest) error {
	return s.answerMFA(ctx, func(tx *db.Tx) (*mfaDevice, bool, error) {
		e, err := s.entity(ctx, tx, userKind, in.UserName)
		if err != nil {
			return nil, false, err
		}
		d, err := s.mfaDevice(ctx, tx, *in.SerialNumber)
		if err != nil {
			return nil, false, err
		}
		if d.UserID != "" {
			return nil, false, errMFAInUse
		}
		others, err := db.One[int64](ctx, tx, `SELECT COUNT(*) FROM iam_mfa_devices WHERE user_id = $1`, e.ID)
		if err != nil {
			return nil, false, err
		}
		if others >= maxMFADevices {
			return nil, false, quota("MFADevicesPerUser", maxMFADevices)
		}
		right, err := s.synchronize(d, *in.AuthenticationCode1, *in.AuthenticationCode2, mfaPairSlack)
		if right {
			d.UserID, d.Doc.V.Enabled = e.ID, s.Now().UnixMicro()
		}
		return d, right, err
	})
}

// ResyncMFADevice implements iam:ResyncMFADevice: two codes in a row tell what time the device has.
func (s *Service) ResyncMFADevice(ctx context.Context, in *iam.ResyncMFADeviceRequest) error {
	return s.answerMFA(ctx, func(tx *db.Tx) (*mfaDevice, bool, error) {
		_, d, err := s.mfaOf(ctx, tx, in.UserName, *in.SerialNumber)
		if err != nil {
			return nil, false, err
		}
		right, err := s.synchronize(d, *in.AuthenticationCode1, *in.AuthenticationCode2, mfaResync)
		return d, right, err
	})
}

// answerMFA runs check in a transaction and keeps what it did to the device, that a code was wrong included.
func (s *Service) answerMFA(ctx context.Context, check func(*db.Tx) (*mfaDevice, bool, error)) error {
	accepted := false
	err := s.DB.Tx(ctx, func(tx *db.Tx) error {
		d, right, err := check(tx)
		if err != nil {
			return err
		}
		accepted = right
		return s.updateMFA(ctx, tx, d)
	})
	if err == nil && !accepted {
		err = errBadCode
	}
	return err
}

// mfaOf finds a user and a device that is his.
func (s *Service) mfaOf(ctx context.Context, q db.Querier, name *string, serial string) (*entity, *mfaDevice, error) {
	e, id, err := s.requireUser(ctx, q, name)
	if err != nil {
		return nil, nil, err
	}
	d, err := s.mfaDevice(ctx, q, serial)
	if err == nil && d.UserID != id {
		err = noSuchDevice(serial)
	}
	return e, d, err
}

// DeactivateMFADevice implements iam:DeactivateMFADevice. The device stays, to be enabled again or deleted.
func (s *Service) DeactivateMFADevice(ctx context.Context, in *iam.DeactivateMFADeviceRequest) error {
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		_, d, err := s.mfaOf(ctx, tx, in.UserName, *in.SerialNumber)
		if err != nil {
			return err
		}
		d.UserID, d.Doc.V.Enabled = "", 0
		return s.updateMFA(ctx, tx, d)
	})
}

// ListMFADevices implements iam:ListMFADevices.
func (s *Service) ListMFADevices(ctx context.Context, in *iam.ListMFADevicesRequest) (*iam.ListMFADevicesResponse, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	e, id, err := s.requireUser(ctx, s.DB, in.UserName)
	if err != nil {
		return nil, err
	}
	list, err := db.All[mfaDevice](ctx, s.DB, `SELECT `+mfaColumns+` FROM iam_mfa_devices WHERE user_id = $1 AND serial > $2 ORDER BY serial LIMIT $3`, id, p.after, p.size+1)
	if err != nil {
		return nil, err
	}
	out := &iam.ListMFADevicesResponse{}
	for _, d := range cut(p, list, func(d mfaDevice) string { return d.Serial }) {
		out.MFADevices = append(out.MFADevices, iam.MFADevice{UserName: &e.Name, SerialNumber: &d.Serial, EnableDate: timeOf(d.Doc.V.Enabled)})
	}
	out.IsTruncated, out.Marker = p.isTruncated(), p.marker()
	return out, nil
}

// GetMFADevice implements iam:GetMFADevice.
func (s *Service) GetMFADevice(ctx context.Context, in *iam.GetMFADeviceRequest) (*iam.GetMFADeviceResponse, error) {
	d, err := s.mfaDevice(ctx, s.DB, *in.SerialNumber)
	if err != nil {
		return nil, err
	}
	e, err := s.entityByID(ctx, s.DB, d.UserID)
	if isNotFound(err) || err == nil && in.UserName != nil && e.NameKey != strings.ToLower(*in.UserName) {
		return nil, noSuchDevice(d.Serial)
	} else if err != nil {
		return nil, err
	}
	return &iam.GetMFADeviceResponse{UserName: &e.Name, SerialNumber: &d.Serial, EnableDate: timeOf(d.Doc.V.Enabled)}, nil
}

func (s *Service) changeMFA(ctx context.Context, serial string, change func(*mfaDevice) error) error {
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		d, err := s.mfaDevice(ctx, tx, serial)
		if err != nil {
			return err
		}
		if err := change(d); err != nil {
			return err
		}
		return s.updateMFA(ctx, tx, d)
	})
}

// TagMFADevice implements iam:TagMFADevice.
func (s *Service) TagMFADevice(ctx context.Context, in *iam.TagMFADeviceRequest) error {
	return s.changeMFA(ctx, *in.SerialNumber, func(d *mfaDevice) (err error) {
		d.Doc.V.Tags, err = mergeTags(d.Doc.V.Tags, in.Tags, false)
		return err
	})
}

// UntagMFADevice implements iam:UntagMFADevice.
func (s *Service) UntagMFADevice(ctx context.Context, in *iam.UntagMFADeviceRequest) error {
	return s.changeMFA(ctx, *in.SerialNumber, func(d *mfaDevice) error {
		d.Doc.V.Tags = removeTags(d.Doc.V.Tags, in.TagKeys, false)
		return nil
	})
}

// ListMFADeviceTags implements iam:ListMFADeviceTags.
func (s *Service) ListMFADeviceTags(ctx context.Context, in *iam.ListMFADeviceTagsRequest) (*iam.ListMFADeviceTagsResponse, error) {
	d, err := s.mfaDevice(ctx, s.DB, *in.SerialNumber)
	if err != nil {
		return nil, err
	}
	tags, p, err := tagPage(d.Doc.V.Tags, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &iam.ListMFADeviceTagsResponse{Tags: tags, IsTruncated: p.isTruncated(), Marker: p.marker()}, nil
}

// VerifyMFA checks a code of an MFA device of a user, given by his unique id, and spends it. A device that has seen many
// wrong codes in a row makes the next one wait; until then every code is wrong. If the user has no such device the error
// is db.ErrNotFound.
func (s *Service) VerifyMFA(ctx context.Context, userID, serial, code string) (bool, error) {
	right := false
	err := s.DB.Tx(ctx, func(tx *db.Tx) error {
		right = false
		d, err := db.One[mfaDevice](ctx, tx, `SELECT `+mfaColumns+` FROM iam_mfa_devices WHERE serial = $1 AND user_id = $2 AND user_id <> ''`, serial, userID)
		if err != nil {
			return err
		}
		if right, err = s.spend(&d, code); err != nil {
			return err
		}
		return s.updateMFA(ctx, tx, &d)
	})
	return right, err
}

// spend accepts a code of about now that is newer than the last accepted one.
func (s *Service) spend(d *mfaDevice, code string) (bool, error) {
	now := s.Now()
	if d.Doc.V.Guesses.mustWait(now) {
		return false, nil
	}
	seed, err := s.seed(d)
	if err != nil {
		return false, err
	}
	at := now.Unix()/mfaStep + d.Doc.V.Drift
	for step := at - mfaSlack; step <= at+mfaSlack; step++ {
		right, err := codeAt(seed, step, code)
		if err != nil {
			return false, err
		}
		if right && step > d.Doc.V.Last {
			d.Doc.V.Last = step
			return d.Doc.V.Guesses.note(true, now), nil
		}
	}
	return d.Doc.V.Guesses.note(false, now), nil
}

// synchronize accepts two codes in a row that are newer than the last accepted one, and learns from them what time the
// device has.
func (s *Service) synchronize(d *mfaDevice, first, second string, slack int64) (bool, error) {
	now := s.Now()
	if d.Doc.V.Guesses.mustWait(now) {
		return false, nil
	}
	seed, err := s.seed(d)
	if err != nil {
		return false, err
	}
	at := now.Unix() / mfaStep
	for step := at - slack; step < at+slack; step++ {
		right, err := codeAt(seed, step, first)
		if err == nil && right {
			right, err = codeAt(seed, step+1, second)
		}
		if err != nil {
			return false, err
		}
		if !right || step <= d.Doc.V.Last {
			continue
		}
		d.Doc.V.Last, d.Doc.V.Drift = step+1, step+1-at
		if d.Doc.V.Drift >= -mfaSlack && d.Doc.V.Drift <= mfaSlack { // it takes a moment to type a code
			d.Doc.V.Drift = 0
		}
		return d.Doc.V.Guesses.note(true, now), nil
	}
	return d.Doc.V.Guesses.note(false, now), nil
}

// codeAt compares a code with that of a step (RFC 4226).
func codeAt(seed string, step int64, code string) (bool, error) {
	want, err := hotp.GenerateCode(seed, uint64(step))
	return err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1, err
}
