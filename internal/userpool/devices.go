package userpool

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"

	"usher/internal/api/cognitoidp"
	"usher/internal/db"
	"usher/internal/ids"
	"usher/internal/srp"
)

// A pool with a DeviceConfiguration gives a key to every device on which a user signs in. The device that confirms its key
// has a secret, of which the pool keeps an SRP verifier; if it is remembered too, the proof of the secret can stand for
// the second factor.
//
// Source: Amazon Cognito developer guide, "Working with user devices in your user pool".

// maxDevices is how many devices of a user are kept: the ones that he signed in with last.
const maxDevices = 200

// device is a row of user_devices.
type device struct {
	Key, Name                        string
	Salt, Verifier                   []byte // the verifier is sealed
	Remembered                       bool
	Created, Modified, Authenticated int64
}

const deviceColumns = `device_key, name, salt, verifier, remembered, created, modified, authenticated`

func (p *pool) tracksDevices() bool { return p.Settings.DeviceConfiguration != nil }

// devicesReplaceMFA reports whether a remembered device stands for the second factor.
func (p *pool) devicesReplaceMFA() bool {
	return p.tracksDevices() && deref(p.Settings.DeviceConfiguration.ChallengeRequiredOnNewDevice)
}

// remembersOnPrompt reports whether devices are remembered only when the user says so.
func (p *pool) remembersOnPrompt() bool {
	return p.tracksDevices() && deref(p.Settings.DeviceConfiguration.DeviceOnlyRememberedOnUserPrompt)
}

// deviceGroup is the DeviceGroupKey of the pool's devices: "-" and eight letters and digits.
func (p *pool) deviceGroup() string {
	const letters = digits + lowers + uppers
	group := []byte("-")
	for _, b := range p.keys.mac("device group")[:8] {
		group = append(group, letters[int(b)%len(letters)])
	}
	return string(group)
}

// newDeviceKey returns a key for a device: the region of the pool and a UUID.
func (p *pool) newDeviceKey() string {
	region, _, _ := strings.Cut(p.ID, "_")
	return region + "_" + ids.UUID()
}

// deviceOwner is what the verifier of a device is sealed for.
func deviceOwner(p *pool, sub, key string) []byte { return []byte(p.ID + "|" + sub + "|" + key) }

// findDevice reads a device of a user.
func (s *Service) findDevice(ctx context.Context, q db.Querier, p *pool, sub, key string) (*device, error) {
	d, err := db.One[device](ctx, q, `SELECT `+deviceColumns+` FROM user_devices WHERE pool_id = $1 AND sub = $2 AND device_key = $3`, p.ID, sub, key)
	if errors.Is(err, db.ErrNotFound) {
		return nil, errDeviceNotFound
	} else if err != nil {
		return nil, err
	}
	return &d, nil
}

// touchDevice notes a sign-in with a device and reports whether the device is still there.
func (s *Service) touchDevice(ctx context.Context, tx *db.Tx, p *pool, sub, key string) (bool, error) {
	res, err := tx.ExecContext(ctx, `UPDATE user_devices SET authenticated = $4 WHERE pool_id = $1 AND sub = $2 AND device_key = $3`, p.ID, sub, key, s.now())
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// ConfirmDevice stores the secret's verifier of the device that the access token was issued to.
func (s *Service) ConfirmDevice(ctx context.Context, in *cognitoidp.ConfirmDeviceRequest) (*cognitoidp.ConfirmDeviceResponse, error) {
	b := bearerFrom(ctx)
	p, sub, key := b.pool, b.user.Sub, *in.DeviceKey
	if !p.tracksDevices() {
		return nil, errNoDeviceTracking
	}
	if key != b.device {
		return nil, errForeignDeviceKey
	}
	name := deref(in.DeviceName)
	if !isName(name) {
		return nil, errFriendlyName
	}
	if in.DeviceSecretVerifierConfig == nil {
		return nil, errMissingParameter("DeviceSecretVerifierConfig")
	}
	salt, err := base64.StdEncoding.DecodeString(deref(in.DeviceSecretVerifierConfig.Salt))
	if err != nil {
		return nil, errDeviceVerifier.With(err)
	}
	sent, err := base64.StdEncoding.DecodeString(deref(in.DeviceSecretVerifierConfig.PasswordVerifier))
	if err != nil {
		return nil, errDeviceVerifier.With(err)
	}
	verifier, err := srp.ParseVerifier(salt, sent)
	if err != nil {
		return nil, errDeviceVerifier.With(err)
	}
	now, prompt := s.now(), p.remembersOnPrompt()
	err = s.DB.Tx(ctx, func(tx *db.Tx) error {
		if _, err := s.userBySub(ctx, tx, p, sub); err != nil {
			return err
		}
		err := db.Changed(tx.ExecContext(ctx, `INSERT INTO user_devices (pool_id, sub, `+deviceColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $8)
			ON CONFLICT (pool_id, sub, device_key) DO NOTHING`, p.ID, sub, key, name, salt, s.deviceVerifiers.Seal(verifier, deviceOwner(p, sub, key)), !prompt, now))
		if errors.Is(err, db.ErrConflict) {
			return errDeviceKeyExists
		} else if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM user_devices WHERE pool_id = $1 AND sub = $2 AND device_key IN (
			SELECT device_key FROM user_devices WHERE pool_id = $1 AND sub = $2 ORDER BY authenticated DESC, device_key LIMIT $3 OFFSET $4)`, p.ID, sub, maxDevices, maxDevices)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &cognitoidp.ConfirmDeviceResponse{UserConfirmationNecessary: &prompt}, nil
}

// bearerOf is the caller of an operation whose access token the model does not require.
func (s *Service) bearerOf(ctx context.Context, accessToken *string) (*bearer, error) {
	if accessToken == nil {
		return nil, errMissingParameter("AccessToken")
	}
	ctx, err := s.Bearer(ctx, *accessToken)
	if err != nil {
		return nil, err
	}
	return bearerFrom(ctx), nil
}

// GetDevice returns a device of the signed-in user.
func (s *Service) GetDevice(ctx context.Context, in *cognitoidp.GetDeviceRequest) (*cognitoidp.GetDeviceResponse, error) {
	b, err := s.bearerOf(ctx, in.AccessToken)
	if err != nil {
		return nil, err
	}
	d, err := s.getDevice(ctx, b.pool, b.user, *in.DeviceKey)
	if err != nil {
		return nil, err
	}
	return &cognitoidp.GetDeviceResponse{Device: d}, nil
}

// AdminGetDevice returns a device of a user.
func (s *Service) AdminGetDevice(ctx context.Context, in *cognitoidp.AdminGetDeviceRequest) (*cognitoidp.AdminGetDeviceResponse, error) {
	p, u, err := s.deviceUser(ctx, in.UserPoolId, in.Username)
	if err != nil {
		return nil, err
	}
	d, err := s.getDevice(ctx, p, u, *in.DeviceKey)
	if err != nil {
		return nil, err
	}
	return &cognitoidp.AdminGetDeviceResponse{Device: d}, nil
}

func (s *Service) getDevice(ctx context.Context, p *pool, u *user, key string) (*cognitoidp.DeviceType, error) {
	if !p.tracksDevices() {
		return nil, errNoDeviceTracking
	}
	d, err := s.findDevice(ctx, s.DB, p, u.Sub, key)
	if err != nil {
		return nil, err
	}
	return wireDevice(d), nil
}

// deviceUser is adminUser for operations without UserNotFoundException.
func (s *Service) deviceUser(ctx context.Context, poolID, name *string) (*pool, *user, error) {
	p, u, err := s.adminUser(ctx, poolID, name)
	if errors.Is(err, cognitoidp.ErrUserNotFound) {
		err = cognitoidp.ErrResourceNotFound.Msg("%s", errUserNotFound.Message)
	}
	return p, u, err
}

// ListDevices lists the devices of the signed-in user.
func (s *Service) ListDevices(ctx context.Context, in *cognitoidp.ListDevicesRequest) (*cognitoidp.ListDevicesResponse, error) {
	b := bearerFrom(ctx)
	devices, next, err := s.listDevices(ctx, b.pool, b.user, in.PaginationToken, in.Limit)
	if err != nil {
		return nil, err
	}
	return &cognitoidp.ListDevicesResponse{Devices: devices, PaginationToken: next}, nil
}

// AdminListDevices lists the devices of a user.
func (s *Service) AdminListDevices(ctx context.Context, in *cognitoidp.AdminListDevicesRequest) (*cognitoidp.AdminListDevicesResponse, error) {
	p, u, err := s.deviceUser(ctx, in.UserPoolId, in.Username)
	if err != nil {
		return nil, err
	}
	devices, next, err := s.listDevices(ctx, p, u, in.PaginationToken, in.Limit)
	if err != nil {
		return nil, err
	}
	return &cognitoidp.AdminListDevicesResponse{Devices: devices, PaginationToken: next}, nil
}

func (s *Service) listDevices(ctx context.Context, p *pool, u *user, token *string, limit *int32) ([]cognitoidp.DeviceType, *string, error) {
	if !p.tracksDevices() {
		return nil, nil, errNoDeviceTracking
	}
	page, err := s.openPage(token, limit, "ListDevices", p.ID, u.Sub)
	if err != nil {
		return nil, nil, err
	}
	rows, err := db.All[device](ctx, s.DB, `SELECT `+deviceColumns+` FROM user_devices WHERE pool_id = $1 AND sub = $2 AND device_key > $3 ORDER BY device_key LIMIT $4`,
		p.ID, u.Sub, page.after(0), page.fetch())
	if err != nil {
		return nil, nil, err
	}
	rows, next := cut(page, rows, func(d *device) []string { return []string{d.Key} })
	devices := make([]cognitoidp.DeviceType, len(rows))
	for i := range rows {
		devices[i] = *wireDevice(&rows[i])
	}
	return devices, next, nil
}

// ForgetDevice deletes a device of the signed-in user. Tokens that were issued to it stay good.
func (s *Service) ForgetDevice(ctx context.Context, in *cognitoidp.ForgetDeviceRequest) error {
	b, err := s.bearerOf(ctx, in.AccessToken)
	if err != nil {
		return err
	}
	return s.forgetDevice(ctx, b.pool, b.user, *in.DeviceKey)
}

// AdminForgetDevice deletes a device of a user. Tokens that were issued to it stay good.
func (s *Service) AdminForgetDevice(ctx context.Context, in *cognitoidp.AdminForgetDeviceRequest) error {
	p, u, err := s.adminUser(ctx, in.UserPoolId, in.Username)
	if err != nil {
		return err
	}
	return s.forgetDevice(ctx, p, u, *in.DeviceKey)
}

func (s *Service) forgetDevice(ctx context.Context, p *pool, u *user, key string) error {
	return s.changeDevice(ctx, p, `DELETE FROM user_devices WHERE pool_id = $1 AND sub = $2 AND device_key = $3`, p.ID, u.Sub, key)
}

// UpdateDeviceStatus says whether a device of the signed-in user is remembered.
func (s *Service) UpdateDeviceStatus(ctx context.Context, in *cognitoidp.UpdateDeviceStatusRequest) (*cognitoidp.UpdateDeviceStatusResponse, error) {
	b := bearerFrom(ctx)
	return nil, s.rememberDevice(ctx, b.pool, b.user, *in.DeviceKey, in.DeviceRememberedStatus)
}

// AdminUpdateDeviceStatus says whether a device of a user is remembered.
func (s *Service) AdminUpdateDeviceStatus(ctx context.Context, in *cognitoidp.AdminUpdateDeviceStatusRequest) (*cognitoidp.AdminUpdateDeviceStatusResponse, error) {
	p, u, err := s.adminUser(ctx, in.UserPoolId, in.Username)
	if err != nil {
		return nil, err
	}
	return nil, s.rememberDevice(ctx, p, u, *in.DeviceKey, in.DeviceRememberedStatus)
}

func (s *Service) rememberDevice(ctx context.Context, p *pool, u *user, key string, status *string) error {
	if status == nil {
		return errMissingParameter("DeviceRememberedStatus")
	}
	return s.changeDevice(ctx, p, `UPDATE user_devices SET remembered = $4, modified = $5 WHERE pool_id = $1 AND sub = $2 AND device_key = $3`,
		p.ID, u.Sub, key, *status == deviceRemembered, s.now())
}

// changeDevice runs a statement that changes one device.
func (s *Service) changeDevice(ctx context.Context, p *pool, statement string, args ...any) error {
	if !p.tracksDevices() {
		return errNoDeviceTracking
	}
	return s.DB.Tx(ctx, func(tx *db.Tx) error {
		err := db.Changed(tx.ExecContext(ctx, statement, args...))
		if errors.Is(err, db.ErrConflict) {
			return errDeviceNotFound
		}
		return err
	})
}

// Values of dev:device_remembered_status.
const (
	deviceRemembered    = cognitoidp.DeviceRememberedStatusTypeRemembered
	deviceNotRemembered = cognitoidp.DeviceRememberedStatusTypeNotRemembered
)

// wireDevice returns a device.
func wireDevice(d *device) *cognitoidp.DeviceType {
	attributes := []cognitoidp.AttributeType{{Name: new("device_status"), Value: new("valid")}}
	if d.Name != "" {
		attributes = append(attributes, cognitoidp.AttributeType{Name: new("device_name"), Value: &d.Name})
	}
	status := deviceNotRemembered
	if d.Remembered {
		status = deviceRemembered
	}
	attributes = append(attributes, cognitoidp.AttributeType{Name: new("dev:device_remembered_status"), Value: &status})
	return &cognitoidp.DeviceType{
		DeviceKey: &d.Key, DeviceAttributes: attributes, DeviceCreateDate: new(timeOf(d.Created)),
		DeviceLastModifiedDate: new(timeOf(d.Modified)), DeviceLastAuthenticatedDate: new(timeOf(d.Authenticated)),
	}
}
