package userpool

import (
	"context"
	"errors"

	"usher/internal/api/cognitoidp"
	"usher/internal/srp"
)

// startSRP is the first step of USER_SRP_AUTH: the client has sent SRP_A and gets salt, SRP_B and the secret block.
func (a *signIn) startSRP(ctx context.Context) (*outcome, error) {
	name, err := a.param("USERNAME")
	if err != nil {
		return nil, err
	}
	publicA, err := a.param("SRP_A")
	if err != nil {
		return nil, err
	}
	if err := a.identify(ctx, name); err != nil {
		return nil, err
	}
	return a.passwordVerifier(publicA)
}

// passwordVerifier makes the challenge PASSWORD_VERIFIER. A user without a verifier gets one that no password fits.
func (a *signIn) passwordVerifier(publicA string) (*outcome, error) {
	u := a.user
	salt, verifier, err := a.verifierOf(a.pool, u)
	if err != nil {
		return nil, err
	}
	challenge, err := srp.NewChallenge(verifier, publicA)
	if errors.Is(err, srp.ErrPublicValue) {
		return nil, errPublicA.With(err)
	} else if err != nil {
		return nil, err
	}
	return &outcome{challenge: cognitoidp.ChallengeNameTypePasswordVerifier, params: map[string]string{
		"SALT":            srp.SaltHex(salt),
		"SRP_B":           challenge.PublicB,
		"SECRET_BLOCK":    a.sealSecretBlock(a.pool, a.client, secretBlock{Flow: a.flow, Sub: u.Sub, Known: !u.invented(), Proof: challenge.State(), Custom: a.custom}),
		"USERNAME":        u.Username,
		"USER_ID_FOR_SRP": u.Username,
	}}, nil
}

// finishSRP is the second step: the client proves that it knows the password.
func (a *signIn) finishSRP(ctx context.Context) (*outcome, error) {
	var answer [4]string
	for i, name := range []string{"USERNAME", "PASSWORD_CLAIM_SECRET_BLOCK", "PASSWORD_CLAIM_SIGNATURE", "TIMESTAMP"} {
		v, err := a.param(name)
		if err != nil {
			return nil, err
		}
		answer[i] = v
	}
	block, raw, err := a.openSecretBlock(a.pool, a.client, answer[1])
	if err != nil {
		return nil, err
	}
	// Before the block is used up: a client whose device is forgotten sends the same answer again without it.
	if err := a.bringDevice(ctx, block.Sub); err != nil {
		return nil, err
	}
	if err := a.proveSRP(ctx, answer[0], block, srp.Answer{SecretBlock: raw, Signature: answer[2], Timestamp: answer[3]}); err != nil {
		return nil, err
	}
	if block.Custom != "" {
		return a.customPasswordProven(ctx, block.Custom)
	}
	return a.proceed(ctx)
}

// proveSRP returns nil if answer proves the password of the user whom block is about.
func (a *signIn) proveSRP(ctx context.Context, name string, block secretBlock, answer srp.Answer) error {
	leave, err := a.auth.attempts.enter(ctx, a.pool.ID+"/"+block.Sub)
	if err != nil {
		return err
	}
	defer leave()
	fake := a.pool.invent(name)
	fake.Sub = block.Sub
	u, err := a.userOr(ctx, a.DB, fake, userBySub, a.pool.ID, block.Sub)
	if errors.Is(err, cognitoidp.ErrUserNotFound) {
		u = fake
	} else if err != nil {
		return err
	}
	if err := a.client.checkSecretHash(a.secretHash(), name, u.Username); err != nil {
		return err
	}
	if !u.invented() && !a.pool.named(u, name) {
		return errSession
	}
	if err := a.useSecretBlock(ctx, block); err != nil {
		return err
	}
	if err := a.admit(u); err != nil {
		return err
	}
	_, verifier, err := a.verifierOf(a.pool, a.user)
	if err != nil {
		return err
	}
	answer.PoolName, answer.UserID = a.pool.name(), u.Username
	proven := false
	if err := a.auth.proofs.do(ctx, func() { proven = srp.Verify(block.Proof, verifier, answer, a.Now()) == nil }); err != nil {
		return err
	}
	ok := proven && block.Known && a.user.Verifier != nil
	if err := a.resetRequired(ok); err != nil {
		return err
	}
	if !ok {
		return a.failed(ctx)
	}
	a.flow = block.Flow
	return a.passed(ctx)
}
