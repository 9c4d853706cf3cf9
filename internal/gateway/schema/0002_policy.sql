-- Policy and public access settings of a bucket, in doc. All public access is blocked until the owner lifts it.
ALTER TABLE gateway_buckets ADD COLUMN doc TEXT NOT NULL DEFAULT '{"accessBlock":{"BlockPublicAcls":true,"IgnorePublicAcls":true,"BlockPublicPolicy":true,"RestrictPublicBuckets":true}}';
