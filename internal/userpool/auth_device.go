package userpool

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"

	"usher/internal/api/cognitoidp"
	"usher/internal/db"
	"usher/internal/srp"
)

// bringDevice reads the device that a sign-in names with DEVICE_KEY, if the pool tracks devices. One that is not the
// user's is an error that makes clients forget the key and try again without.
func (a *signIn) bringDevice(ctx context.Context, sub string) (err error) {
	if a.deviceKey == "" {
		a.deviceKey = a.params["DEVICE_KEY"]
	}
	if a.deviceKey == "" || !a.pool.tracksDevices() {
		a.deviceKey = ""
		return nil
	}
	a.device, err = a.findDevice(ctx, a.DB, a.pool, sub, a.deviceKey)
	return err
}

// askForDevice is the challenge DEVICE_SRP_AUTH.
func (a *signIn) askForDevice() (*outcome, error) {
	const challenge = cognitoidp.ChallengeNameTypeDeviceSrpAuth
	return &outcome{challenge: challenge, session: a.challengeSession(challenge), params: map[string]string{
		"USER_ID_FOR_SRP": a.user.Username, "DEVICE_KEY": a.deviceKey,
	}}, nil
}

// sessionDevice reads the device that st waits for, which the answer must name and which must still be remembered.
func (a *signIn) sessionDevice(ctx context.Context, q db.Querier, st session) (*device, error) {
	key, err := a.param("DEVICE_KEY")
	if err != nil {
		return nil, err
	}
	if key != st.Device || !a.pool.tracksDevices() {
		return nil, errDeviceNotFound
	}
	d, err := a.findDevice(ctx, q, a.pool, st.Sub, key)
	if err == nil && !d.Remembered {
		err = errDeviceNotFound
	}
	return d, err
}

// secretBlockSize is the length of the secret block of a device's proof: random bytes, since the state is in the session.
const secretBlockSize = 48

// startDeviceSRP is the answer to DEVICE_SRP_AUTH: the device has sent SRP_A.
func (a *signIn) startDeviceSRP(ctx context.Context, st session) (*outcome, error) {
	publicA, err := a.param("SRP_A")
	if err != nil {
		return nil, err
	}
	if err := a.resume(ctx, a.DB, st); err != nil {
		return nil, err
	}
	d, err := a.sessionDevice(ctx, a.DB, st)
	if err != nil {
		return nil, err
	}
	verifier, err := a.deviceVerifiers.Open(d.Verifier, deviceOwner(a.pool, st.Sub, d.Key))
	if err != nil {
		return nil, err
	}
	proof, err := srp.NewChallenge(verifier, publicA)
	if errors.Is(err, srp.ErrPublicValue) {
		return nil, errPublicA.With(err)
	} else if err != nil {
		return nil, err
	}
	if err := a.DB.Tx(ctx, func(tx *db.Tx) error { return useSession(ctx, tx, st) }); err != nil {
		return nil, err
	}
	const challenge = cognitoidp.ChallengeNameTypeDevicePasswordVerifier
	next := a.newSession(challenge)
	next.Proof, next.Code = proof.State(), make([]byte, secretBlockSize)
	rand.Read(next.Code)
	return &outcome{challenge: challenge, session: a.sealSession(a.pool, a.client, next), params: map[string]string{
		"SALT": srp.SaltHex(d.Salt), "SRP_B": proof.PublicB, "SECRET_BLOCK": base64.StdEncoding.EncodeToString(next.Code),
		"DEVICE_KEY": d.Key, "USERNAME": a.user.Username, "USER_ID_FOR_SRP": a.user.Username,
	}}, nil
}

// finishDeviceSRP is the answer to DEVICE_PASSWORD_VERIFIER: the device proves that it knows its secret.
func (a *signIn) finishDeviceSRP(ctx context.Context, st session) (*outcome, error) {
	var answer [3]string
	for i, name := range []string{"PASSWORD_CLAIM_SECRET_BLOCK", "PASSWORD_CLAIM_SIGNATURE", "TIMESTAMP"} {
		v, err := a.param(name)
		if err != nil {
			return nil, err
		}
		answer[i] = v
	}
	block, err := decodeBlock(answer[0])
	if err != nil || subtle.ConstantTimeCompare(block, st.Code) != 1 {
		return nil, errSession
	}
	if err := a.resume(ctx, a.DB, st); err != nil {
		return nil, err
	}
	proof := srp.Answer{PoolName: a.pool.deviceGroup(), UserID: st.Device, SecretBlock: block, Signature: answer[1], Timestamp: answer[2]}
	d, err := a.sessionDevice(ctx, a.DB, st)
	if err != nil {
		return nil, err
	}
	verifier, err := a.deviceVerifiers.Open(d.Verifier, deviceOwner(a.pool, st.Sub, d.Key))
	if err != nil {
		return nil, err
	}
	proven := false // before the transaction: it takes a while
	if err := a.auth.proofs.do(ctx, func() { proven = srp.Verify(st.Proof, verifier, proof, a.Now()) == nil }); err != nil {
		return nil, err
	}
	err = a.guess(ctx, st, func(tx *db.Tx) (refusal, err error) {
		if !proven {
			return errWrongPassword, useSession(ctx, tx, st)
		}
		_, err = a.sessionDevice(ctx, tx, st) // may have been forgotten meanwhile
		return nil, err
	})
	if err != nil {
		return nil, err
	}
	a.deviceProven = true
	return a.complete(ctx)
}

// deviceOfTokens is the key of the device that tokens are issued to, and what a device that the pool does not know yet is
// told of it.
func (a *signIn) deviceOfTokens(ctx context.Context) (string, *cognitoidp.NewDeviceMetadataType, error) {
	if !a.pool.tracksDevices() {
		return "", nil, nil
	}
	if a.deviceKey != "" {
		known := false
		err := a.DB.Tx(ctx, func(tx *db.Tx) (err error) {
			known, err = a.touchDevice(ctx, tx, a.pool, a.user.Sub, a.deviceKey)
			return err
		})
		if err != nil || known {
			return a.deviceKey, nil, err
		}
	}
	key := a.pool.newDeviceKey()
	return key, &cognitoidp.NewDeviceMetadataType{DeviceKey: &key, DeviceGroupKey: new(a.pool.deviceGroup())}, nil
}
