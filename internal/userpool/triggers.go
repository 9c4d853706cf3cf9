package userpool

import (
	"context"
	"errors"
	"maps"

	"usher/internal/api/cognitoidp"
	"usher/internal/trigger"
)

// Triggers are functions of the pool's owner that the service calls on the way (developer guide, "Customizing user pool
// workflows with Lambda triggers"). They are never called within a transaction: they may take long, and a transaction may
// run again.

// Names of triggers, as LambdaConfig and error messages have them.
const (
	triggerPreSignUp          = "PreSignUp"
	triggerPostConfirmation   = "PostConfirmation"
	triggerPreAuthentication  = "PreAuthentication"
	triggerPostAuthentication = "PostAuthentication"
	triggerPreToken           = "PreTokenGeneration"
	triggerDefine             = "DefineAuthChallenge"
	triggerCreate             = "CreateAuthChallenge"
	triggerVerify             = "VerifyAuthChallengeResponse"
	triggerCustomMessage      = "CustomMessage"
	triggerUserMigration      = "UserMigration"
)

// noClient stands for the app client in events of operations that have none.
const noClient = "CLIENT_ID_NOT_APPLICABLE"

// occasion is what all triggers are told: which one it is and of whom.
type occasion struct {
	trigger  string // name
	source   string // what of the operation calls it, the part of triggerSource after the underscore
	version  string // of the event; "" for 1
	function *string
	client   string
	userName string
}

// call invokes a trigger with request. preset is the response that the event has before the function fills it in; answer
// gets what it has after.
func (s *Service) call(ctx context.Context, p *pool, o occasion, request, preset, answer any) error {
	kind := o.trigger
	if kind == triggerPreToken {
		kind = "TokenGeneration"
	}
	if o.version == "" {
		o.version = "1"
	}
	err := s.Triggers.Call(ctx, *o.function, trigger.Event{
		Version: o.version, TriggerSource: kind + "_" + o.source, Region: p.region(), UserPoolID: p.ID, UserName: o.userName,
		CallerContext: trigger.CallerContext{SDKVersion: "aws-sdk-unknown-unknown", ClientID: o.client},
		Request:       request, Response: preset,
	}, answer)
	if failed, ok := errors.AsType[*trigger.FunctionError](err); ok {
		return cognitoidp.ErrUserLambdaValidation.Msg("%s failed with error %s.", o.trigger, failed.Message)
	}
	if failed, ok := errors.AsType[*trigger.InvokeError](err); ok {
		return cognitoidp.ErrUnexpectedLambda.Msg("%s invocation failed due to error %s.", o.trigger, failed.Name).With(err)
	}
	if errors.Is(err, trigger.ErrOutput) {
		return errLambdaOutput.With(err)
	}
	return err
}

// configures reports whether a trigger of the pool is to be called.
func (s *Service) configures(function *string) bool { return function != nil && s.Triggers != nil }

// eventAttributes are the user's attributes as triggers see them.
func (u *user) eventAttributes() map[string]string {
	attributes := maps.Clone(u.attributes())
	if attributes == nil {
		attributes = map[string]string{}
	}
	if identities := u.identitiesText(); identities != "" {
		attributes[attrIdentities] = identities
	}
	attributes[attrSub], attributes["cognito:user_status"] = u.Sub, u.Status
	return attributes
}

// notFound is the member userNotFound of an event: there only for clients that do not tell who exists.
func (c *client) notFound(u *user) *bool {
	if !c.hidesUsers() {
		return nil
	}
	return new(u.invented())
}

// checkTriggers refuses triggers that the service would not call, and what is no function.
func (s *Service) checkTriggers(in *cognitoidp.LambdaConfigType, tier string) error {
	if in == nil || *in == (cognitoidp.LambdaConfigType{}) {
		return nil
	}
	if s.Triggers == nil {
		return errNotAvailable("LambdaConfig, because the server has no Lambda endpoint (--lambda),")
	}
	rest := *in
	if c := in.PreTokenGenerationConfig; c != nil {
		if in.PreTokenGeneration != nil && *in.PreTokenGeneration != *c.LambdaArn {
			return errTwoPreToken
		}
		rest.PreTokenGeneration, rest.PreTokenGenerationConfig = c.LambdaArn, nil
		if *c.LambdaVersion != cognitoidp.PreTokenGenerationLambdaVersionTypeV10 && tier == cognitoidp.UserPoolTierTypeLite {
			return errTokenTier
		}
	}
	for _, t := range []struct {
		name     string
		function **string
	}{
		{triggerPreSignUp, &rest.PreSignUp}, {triggerPostConfirmation, &rest.PostConfirmation},
		{triggerPreAuthentication, &rest.PreAuthentication}, {triggerPostAuthentication, &rest.PostAuthentication}, {triggerPreToken, &rest.PreTokenGeneration},
		{triggerDefine, &rest.DefineAuthChallenge}, {triggerCreate, &rest.CreateAuthChallenge}, {triggerVerify, &rest.VerifyAuthChallengeResponse},
		{triggerCustomMessage, &rest.CustomMessage}, {triggerUserMigration, &rest.UserMigration},
	} {
		if *t.function != nil {
			if _, ok := trigger.Function(**t.function); !ok {
				return cognitoidp.ErrInvalidParameter.Msg("LambdaConfig %s is not the ARN of a Lambda function.", t.name)
			}
		}
		*t.function = nil
	}
	if rest != (cognitoidp.LambdaConfigType{}) {
		return errNotAvailable("CustomEmailSender, CustomSMSSender or InboundFederation in LambdaConfig")
	}
	return nil
}
