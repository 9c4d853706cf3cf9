#!/usr/bin/env bash
# Two accounts with the AWS CLI: a bucket shared step by step, each denial explained; public access; a role with an external
# id, chained into another, with session tags that name an S3 prefix; revocation.
. "$(dirname "$0")/lib.sh"
start_usher

step "another account"
usher account create research >>"$AWS_SHARED_CREDENTIALS_FILE"
ours=$(aws sts get-caller-identity --query Account --output text)
theirs=$(aws --profile research sts get-caller-identity --query Account --output text)
[ "$ours" != "$theirs" ] || fail "one account"
has "$(usher account list)" "$theirs  research"
refused "already exists" usher account create Research
refused "letters, digits" usher account create 'a b'

step "a user here, a bucket there"
aws iam create-user --user-name ada >/dev/null
mapfile -t ada < <(aws iam create-access-key --user-name ada --query 'AccessKey.[AccessKeyId,SecretAccessKey]' --output text | tr '\t' '\n')
ada() { as "${ada[0]}" "${ada[1]}" '' "$@"; }
echo findings >"$work/a.txt"
aws --profile research s3 mb s3://findings >/dev/null
aws --profile research s3 cp --quiet "$work/a.txt" s3://findings/a.txt
read_it() { ada s3api get-object --bucket findings --key a.txt "$work/got.txt"; }
refused "because no resource-based policy allows the s3:GetObject action" read_it

step "her own permission alone is not enough"
aws iam put-user-policy --user-name ada --policy-name read --policy-document '{"Version":"2012-10-17","Statement":{"Sid":"Read","Effect":"Allow","Action":["s3:GetObject","sts:AssumeRole"],"Resource":"*"}}'
refused "because no resource-based policy allows the s3:GetObject action" read_it

step "the bucket's alone is not enough"
share() { aws --profile research s3api put-bucket-policy --bucket findings --policy "$1"; }
refused "Invalid principal in policy" share '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::'"$ours"':user/nobody"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::findings/*"}}'
share '{"Version":"2012-10-17","Statement":{"Sid":"Ada","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::'"$ours"':user/ada"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::findings/*","Condition":{"StringEquals":{"aws:UserAgent":"lab"}}}}'
why=$(explained ada s3api get-object --bucket findings --key a.txt "$work/got.txt")
has "$why" "arn:aws:iam::$ours:user/ada" "explanation"
has "$why" "s3:GetObject on arn:aws:s3:::findings/a.txt" "explanation"
has "$why" "Allow Ada in resource-based policy arn:aws:s3:::findings (line 1, column 37): Condition does not match" "explanation"
has "$why" 'StringEquals aws:UserAgent ["lab"] not met: the request has ["' "explanation"

step "both are"
share '{"Version":"2012-10-17","Statement":{"Sid":"Ada","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::'"$ours"':user/ada"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::findings/*"}}'
read_it >/dev/null
equal "$(cat "$work/got.txt")" findings
refused AccessDenied ada s3api put-object --bucket findings --key b.txt --body "$work/a.txt"
refused AccessDenied public s3api get-bucket-policy --bucket findings
refused "because no resource-based policy allows the s3:GetBucketPolicy action" aws s3api get-bucket-policy --bucket findings

step "public access stays blocked until it is lifted"
public_policy='{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::findings/*"}}'
refused "public policies are blocked by the BlockPublicPolicy" share "$public_policy"
equal "$(curl -s -o /dev/null -w '%{http_code}' "$endpoint/findings/a.txt")" 403
aws --profile research s3api delete-public-access-block --bucket findings
share "$public_policy"
equal "$(curl -s "$endpoint/findings/a.txt")" findings
aws --profile research s3api delete-bucket-policy --bucket findings
equal "$(curl -s -o /dev/null -w '%{http_code}' "$endpoint/findings/a.txt")" 403

step "a role there, for who knows the external id"
role() { # PROFILE NAME TRUST-PRINCIPAL ACTIONS CONDITION POLICY
  aws --profile "$1" iam create-role --role-name "$2" --query Role.Arn --output text --assume-role-policy-document '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"'"$3"'"},"Action":'"$4"',"Condition":'"$5"'}}'
  aws --profile "$1" iam put-role-policy --role-name "$2" --policy-name p --policy-document "$6"
}
assume() { # CALLER ARN options… prints key, secret and token
  local caller=$1 arn=$2; shift 2
  $caller sts assume-role --role-arn "$arn" --role-session-name s1 --query 'Credentials.[AccessKeyId,SecretAccessKey,SessionToken]' --output text "$@" | tr '\t' '\n'
}
door=$(role research door "$ours" '"sts:AssumeRole"' '{"StringEquals":{"sts:ExternalId":"contract-7"}}' '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession"],"Resource":"*"}}')
refused "is not authorized to perform: sts:AssumeRole on resource: $door" ada sts assume-role --role-arn "$door" --role-session-name s1
has "$(explained ada sts assume-role --role-arn "$door" --role-session-name s1 --external-id contract-8)" 'StringEquals sts:ExternalId ["contract-7"] not met: the request has ["contract-8"]'
mapfile -t d < <(assume ada "$door" --external-id contract-7)
door() { as "${d[@]}" "$@"; }
has "$(door sts get-caller-identity --query Arn --output text)" ":assumed-role/door/s1"

step "chained into another role, for an hour at most, with a tag that names an S3 prefix"
desk=$(role research desk "$door" '["sts:AssumeRole","sts:TagSession"]' '{"StringLike":{"aws:RequestTag/team":"*"}}' \
  '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::findings/${aws:PrincipalTag/team}/*"}}')
refused "exceeds the 1 hour session limit for roles assumed by role chaining" door sts assume-role --role-arn "$desk" --role-session-name s1 --duration-seconds 7200 --tags Key=team,Value=red
refused AccessDenied door sts assume-role --role-arn "$desk" --role-session-name s1
mapfile -t k < <(assume door "$desk" --tags Key=team,Value=red)
desk() { as "${k[@]}" "$@"; }
desk s3 cp --quiet "$work/a.txt" s3://findings/red/a.txt
desk s3 cp --quiet s3://findings/red/a.txt "$work/got.txt"
refused "because no identity-based policy allows the s3:PutObject action" desk s3api put-object --bucket findings --key blue/a.txt --body "$work/a.txt"
refused AccessDenied desk s3api put-object --bucket findings --key 'red*/a.txt' --body "$work/a.txt"

step "revoked, and refused at the next request"
usher revoke role "$desk" >/dev/null
refused ExpiredToken desk s3api get-object --bucket findings --key red/a.txt "$work/got.txt"
mapfile -t k < <(assume door "$desk" --tags Key=team,Value=red)
desk s3 cp --quiet s3://findings/red/a.txt "$work/got.txt"
usher revoke session "${d[0]}" >/dev/null
refused ExpiredToken door sts get-caller-identity
desk sts get-caller-identity >/dev/null
refused "is not the ARN of a role" usher revoke role "$desk-2"

step "AWSRevokeOlderSessions does as on AWS"
sleep 1
aws --profile research iam put-role-policy --role-name desk --policy-name AWSRevokeOlderSessions --policy-document '{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:TokenIssueTime":"'"$(date -u +%FT%TZ)"'"}}}}'
refused "with an explicit deny in an identity-based policy" desk s3api get-object --bucket findings --key red/a.txt "$work/got.txt"
