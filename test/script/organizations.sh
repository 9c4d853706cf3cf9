#!/usr/bin/env bash
# An organization with the AWS CLI: an account made in it, service control policies that bound it, and its root user acted for.
. "$(dirname "$0")/lib.sh"
start_usher

step "an organization with an account in a unit"
ours=$(aws sts get-caller-identity --query Account --output text)
refused AWSOrganizationsNotInUseException aws organizations describe-organization
equal "$(aws organizations create-organization --query Organization.MasterAccountId --output text)" "$ours"
tree=$(aws organizations list-roots --query 'Roots[0].Id' --output text)
request=$(aws organizations create-account --account-name "The Lab" --email lab@example.org --query CreateAccountStatus.Id --output text)
lab=$(aws organizations describe-create-account-status --create-account-request-id "$request" --query "CreateAccountStatus.[State,AccountId]" --output text)
has "$lab" SUCCEEDED
lab=${lab#*$'\t'}
has "$(usher account list)" "$lab  The Lab"
unit=$(aws organizations create-organizational-unit --parent-id "$tree" --name research --query OrganizationalUnit.Id --output text)
aws organizations move-account --account-id "$lab" --source-parent-id "$tree" --destination-parent-id "$unit"
equal "$(aws organizations list-accounts-for-parent --parent-id "$unit" --query 'Accounts[].Id' --output text)" "$lab"

step "who administers the new account"
mapfile -t k < <(aws sts assume-role --role-arn "arn:aws:iam::$lab:role/OrganizationAccountAccessRole" --role-session-name s1 --query 'Credentials.[AccessKeyId,SecretAccessKey,SessionToken]' --output text | tr '\t' '\n')
role() { as "${k[@]}" "$@"; }
usher admin-key --account "$lab" | sed 's/^\[.*\]/[lab]/' >>"$AWS_SHARED_CREDENTIALS_FILE"
usher root-key --account "$lab" | sed 's/^\[.*\]/[labroot]/' >>"$AWS_SHARED_CREDENTIALS_FILE"
equal "$(aws --profile lab sts get-caller-identity --query Arn --output text)" "arn:aws:iam::$lab:user/admin"
aws --profile lab s3 mb s3://lab-results >/dev/null
role s3api list-objects-v2 --bucket lab-results >/dev/null
refused "You don't have permissions to access this resource" aws --profile lab organizations list-accounts

step "a service control policy denies, to root as well"
aws organizations enable-policy-type --root-id "$tree" --policy-type SERVICE_CONTROL_POLICY >/dev/null
policy=$(aws organizations create-policy --name no-buckets --description '' --type SERVICE_CONTROL_POLICY --query Policy.PolicySummary.Id --output text \
  --content '{"Version":"2012-10-17","Statement":{"Sid":"NoBuckets","Effect":"Deny","Action":"s3:CreateBucket","Resource":"*"}}')
aws --profile lab s3 mb s3://lab-more >/dev/null
aws organizations attach-policy --policy-id "$policy" --target-id "$unit"
for caller in role "aws --profile lab" "aws --profile labroot"; do
  refused "with an explicit deny in a service control policy" $caller s3api create-bucket --bucket lab-again
done
has "$(explained aws --profile lab s3api create-bucket --bucket lab-again)" "Deny NoBuckets in service control policy"
aws s3 mb s3://of-the-management-account >/dev/null

step "a level that does not allow, and one that does"
only=$(aws organizations create-policy --name only-s3 --description '' --type SERVICE_CONTROL_POLICY --query Policy.PolicySummary.Id --output text \
  --content '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}')
aws organizations attach-policy --policy-id "$only" --target-id "$lab"
aws --profile lab iam list-users >/dev/null
aws organizations detach-policy --policy-id p-FullAWSAccess --target-id "$lab"
refused "because no service control policy allows the iam:ListUsers action" aws --profile lab iam list-users
refused "MIN_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED" aws --debug organizations detach-policy --policy-id "$only" --target-id "$lab"
aws --profile lab s3api list-objects-v2 --bucket lab-results >/dev/null
equal "$(aws iam simulate-custom-policy --policy-input-list '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}' --action-names iam:ListUsers --query 'EvaluationResults[0].EvalDecision' --output text)" allowed
aws organizations attach-policy --policy-id p-FullAWSAccess --target-id "$lab"
equal "$(aws --profile lab iam simulate-principal-policy --policy-source-arn "arn:aws:iam::$lab:user/admin" --action-names s3:CreateBucket --query 'EvaluationResults[0].[EvalDecision,OrganizationsDecisionDetail.AllowedByOrganizations]' --output text)" $'explicitDeny\tFalse'

step "the root user of the account, for one task"
task=arn:aws:iam::aws:policy/root-task
assume_root() { aws sts assume-root --target-principal "$lab" --task-policy-arn arn="$task/$1" --query 'Credentials.[AccessKeyId,SecretAccessKey,SessionToken]' --output text | tr '\t' '\n'; }
refused "is not authorized to perform: sts:AssumeRoot on resource: arn:aws:iam::$lab:root" aws sts assume-root --target-principal "$lab" --task-policy-arn arn="$task/S3UnlockBucketPolicy"
refused ServiceAccessNotEnabled aws iam enable-organizations-root-sessions
aws organizations enable-aws-service-access --service-principal iam.amazonaws.com
aws iam enable-organizations-root-sessions >/dev/null
aws iam enable-organizations-root-credentials-management >/dev/null
aws --profile lab s3api put-bucket-policy --bucket lab-results --policy '{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::lab-results"}}'
refused "with an explicit deny in a resource-based policy" role s3api delete-bucket-policy --bucket lab-results
mapfile -t u < <(assume_root S3UnlockBucketPolicy)
as "${u[@]}" s3api delete-bucket-policy --bucket lab-results
role s3api list-objects-v2 --bucket lab-results >/dev/null
refused "with an explicit deny in a session policy" as "${u[@]}" s3api list-objects-v2 --bucket lab-results
mapfile -t d < <(assume_root IAMDeleteRootUserCredentials)
key=$(as "${d[@]}" iam list-access-keys --query 'AccessKeyMetadata[0].AccessKeyId' --output text)
as "${d[@]}" iam delete-access-key --access-key-id "$key"
refused InvalidAccessKeyId aws --profile labroot s3api list-buckets

step "what is kept is kept over a restart"
kill -9 "$usher_pid"; wait "$usher_pid" 2>/dev/null || true
start_usher
refused "with an explicit deny in a service control policy" aws --profile lab s3api create-bucket --bucket lab-again
equal "$(aws organizations list-policies-for-target --target-id "$unit" --filter SERVICE_CONTROL_POLICY --query 'length(Policies)')" 2
