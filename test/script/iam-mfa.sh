#!/usr/bin/env bash
# An IAM user with an authenticator app and the AWS CLI: his policies and a role's trust policy ask for MFA, and how long ago;
# codes that are wrong, used up or somebody else's are refused.
. "$(dirname "$0")/lib.sh"
start_usher

account=$(aws sts get-caller-identity --query Account --output text)
new_user() { # NAME prints his key id and secret
  aws iam create-user --user-name "$1" >/dev/null
  aws iam create-access-key --user-name "$1" --query 'AccessKey.[AccessKeyId,SecretAccessKey]' --output text | tr '\t' '\n'
}
mapfile -t ada < <(new_user ada)
mapfile -t bob < <(new_user bob)
ada() { as "${ada[0]}" "${ada[1]}" '' "$@"; }
bob() { as "${bob[0]}" "${bob[1]}" '' "$@"; }
# The self-service policy of the IAM User Guide: devices of one's own, and all else with MFA only.
aws iam put-user-policy --user-name ada --policy-name mfa --policy-document '{"Version":"2012-10-17","Statement":[
  {"Sid":"OwnDevices","Effect":"Allow","Action":["iam:CreateVirtualMFADevice","iam:DeleteVirtualMFADevice"],"Resource":"arn:aws:iam::*:mfa/*"},
  {"Sid":"OwnMFA","Effect":"Allow","Action":["iam:EnableMFADevice","iam:ResyncMFADevice","iam:ListMFADevices"],"Resource":"arn:aws:iam::*:user/${aws:username}"},
  {"Sid":"Work","Effect":"Allow","Action":["iam:ListUsers","s3:*","sts:AssumeRole"],"Resource":"*"},
  {"Sid":"NoMFA","Effect":"Deny","NotAction":["iam:CreateVirtualMFADevice","iam:EnableMFADevice","iam:ListMFADevices","iam:ResyncMFADevice","sts:GetSessionToken","sts:AssumeRole"],"Resource":"*","Condition":{"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}}}]}'
aws iam put-user-policy --user-name bob --policy-name all --policy-document '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}}'
role=$(aws iam create-role --role-name vault --query Role.Arn --output text --assume-role-policy-document '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"'"$account"'"},"Action":"sts:AssumeRole","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"},"NumericLessThan":{"aws:MultiFactorAuthAge":"3600"}}}}')
aws s3 mb s3://ledger >/dev/null

step "the user makes his device and enables it with two codes in a row"
serial=$(ada iam create-virtual-mfa-device --virtual-mfa-device-name ada --outfile "$work/seed" --bootstrap-method Base32StringSeed --query VirtualMFADevice.SerialNumber --output text)
equal "$serial" "arn:aws:iam::$account:mfa/ada"
code() { node "$root/test/npm/totp.mjs" "$(cat "$work/seed")" "$1"; }
# fresh sets $otp to a code that was not used yet: of now, or of the next step of 30 seconds, which is not too early.
fresh() {
  local now=$(($(date +%s) / 30))
  last=$((now > last ? now : last + 1))
  otp=$(code $last)
}
while [ $(($(date +%s) % 30)) -gt 15 ]; do sleep 0.5; done # the two must not be too late
last=$(($(date +%s) / 30 - 1))
enable() { ada iam enable-mfa-device --user-name "${3:-ada}" --serial-number "$serial" --authentication-code1 "$1" --authentication-code2 "$2"; }
refused InvalidAuthenticationCode enable "$(code $last)" "$(code $((last - 1)))"
refused AccessDenied enable "$(code $((last - 1)))" "$(code $last)" bob
enable "$(code $((last - 1)))" "$(code $last)"
equal "$(ada iam list-mfa-devices --query 'MFADevices[].SerialNumber' --output text)" "$serial"

step "without MFA he can do nothing else"
refused "with an explicit deny in an identity-based policy" ada iam list-users
refused "with an explicit deny in an identity-based policy" ada s3api list-objects --bucket ledger
has "$(explained ada iam list-users)" 'BoolIfExists aws:MultiFactorAuthPresent ["false"] met: the request has no such key'
session() { ada sts get-session-token --query 'Credentials.[AccessKeyId,SecretAccessKey,SessionToken]' --output text "$@" | tr '\t' '\n'; }
mapfile -t plain < <(session)
plain() { as "${plain[@]}" "$@"; }
refused InvalidClientTokenId plain iam list-users
refused "with an explicit deny in an identity-based policy" plain s3api list-objects --bucket ledger

step "a session with a code has MFA; the code is good once, and a wrong one never"
wrong="MultiFactorAuthentication failed with invalid MFA one time pass code."
refused "$wrong" session --serial-number "$serial" --token-code "$(code $last)"
refused "$wrong" session --serial-number "$serial" --token-code 000000
fresh
mapfile -t strong < <(session --serial-number "$serial" --token-code "$otp")
strong() { as "${strong[@]}" "$@"; }
has "$(strong iam list-users --query 'Users[].UserName' --output text)" bob
strong s3api list-objects --bucket ledger >/dev/null
refused "$wrong" session --serial-number "$serial" --token-code "$otp"

step "a role that asks for MFA"
assume() { local caller=$1; shift; $caller sts assume-role --role-arn "$role" --role-session-name s1 --query AssumedRoleUser.Arn --output text "$@"; }
refused "not authorized to perform: sts:AssumeRole on resource: $role" assume ada
refused "not authorized to perform: sts:AssumeRole on resource: $role" assume plain
refused "$wrong" assume ada --serial-number "$serial" --token-code "$otp"
fresh
refused "unable to validate MFA code" assume bob --serial-number "$serial" --token-code "$otp"
equal "$(assume ada --serial-number "$serial" --token-code "$otp")" "arn:aws:sts::$account:assumed-role/vault/s1"
refused "$wrong" assume ada --serial-number "$serial" --token-code "$otp"
equal "$(assume strong)" "arn:aws:sts::$account:assumed-role/vault/s1"

step "MFA that is too old"
sleep 1
aws iam update-assume-role-policy --role-name vault --policy-document '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"'"$account"'"},"Action":"sts:AssumeRole","Condition":{"NumericLessThan":{"aws:MultiFactorAuthAge":"1"}}}}'
refused "not authorized to perform: sts:AssumeRole" assume strong
has "$(explained strong sts assume-role --role-arn "$role" --role-session-name s1)" 'NumericLessThan aws:MultiFactorAuthAge ["1"] not met: the request has ["'

step "a device that is taken away"
refused DeleteConflict aws iam delete-virtual-mfa-device --serial-number "$serial"
refused DeleteConflict aws iam delete-user --user-name ada
aws iam deactivate-mfa-device --user-name ada --serial-number "$serial"
fresh
refused "unable to validate MFA code" assume ada --serial-number "$serial" --token-code "$otp"
aws iam delete-virtual-mfa-device --serial-number "$serial"
