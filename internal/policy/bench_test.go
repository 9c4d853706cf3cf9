package policy

import (
	"fmt"
	"strings"
	"testing"
)

// manyPolicies gives n policies of 20 statements about buckets, tables and
// queues; the last statement of the last one allows what benchRequest asks for.
func manyPolicies(tb testing.TB, n int) []Source {
	var list []Source
	for i := range n {
		var statements []string
		for j := range 20 {
			switch j % 4 {
			case 0:
				statements = append(statements, fmt.Sprintf(`{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::bucket-%d-%d/home/${aws:username}/*"}`, i, j))
			case 1:
				statements = append(statements, fmt.Sprintf(`{"Effect":"Allow","Action":"dynamodb:*Item","Resource":"arn:aws:dynamodb:*:111122223333:table/t%d"}`, j))
			case 2:
				statements = append(statements, fmt.Sprintf(`{"Effect":"Deny","Action":"s3:Delete*","Resource":"arn:aws:s3:::bucket-%d/*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}`, j))
			case 3:
				statements = append(statements, fmt.Sprintf(`{"Effect":"Allow","Action":["sqs:Send*","sns:Publish"],"Resource":"arn:aws:sqs:eu-west-1:111122223333:q%d"}`, j))
			}
		}
		if i == n-1 {
			statements[19] = `{"Effect":"Allow","Action":["s3:Get*","s3:List*"],"Resource":["arn:aws:s3:::box","arn:aws:s3:::box/home/${aws:username}/*"],"Condition":{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","198.51.100.0/24"]},"StringEquals":{"aws:PrincipalTag/team":"blue"},"DateLessThan":{"aws:CurrentTime":"2036-01-01T00:00:00Z"}}}`
		}
		p, err := Parse(`{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`)
		if err != nil {
			tb.Fatal(err)
		}
		list = append(list, Source{Policy: p})
	}
	return list
}

func benchRequest(ctx *Context) *Request {
	for _, kv := range [][2]string{
		{"aws:CurrentTime", "2026-01-01T00:00:00Z"}, {"aws:EpochTime", "1767225600"}, {"aws:SourceIp", "198.51.100.7"},
		{"aws:SecureTransport", "true"}, {"aws:UserAgent", "aws-cli/2"}, {"aws:RequestedRegion", "us-east-1"},
		{"aws:PrincipalArn", "arn:aws:iam::111122223333:user/alice"}, {"aws:PrincipalAccount", "111122223333"},
		{"aws:PrincipalType", "User"}, {"aws:userid", "AIDAEXAMPLE"}, {"aws:username", "alice"}, {"aws:PrincipalTag/team", "blue"},
		{"aws:ViaAWSService", "false"}, {"aws:ResourceAccount", "111122223333"}, {"s3:authType", "REST-HEADER"},
	} {
		ctx.Set(kv[0], kv[1])
	}
	return &Request{
		Principal: PrincipalFromARN("arn:aws:iam::111122223333:user/alice"),
		Action:    "s3:GetObject", Resource: "arn:aws:s3:::box/home/alice/photos/1.jpg", ResourceAccount: "111122223333",
		Context: ctx,
	}
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("policies=%d", n), func(b *testing.B) {
			p := &Policies{Identity: manyPolicies(b, n)}
			r := benchRequest(&Context{})
			b.ReportAllocs()
			for b.Loop() {
				if d := Decide(r, p); !d.Allowed {
					b.Fatal(d.Message(r))
				}
			}
		})
	}
}

// BenchmarkRequest includes filling in the condition keys.
func BenchmarkRequest(b *testing.B) {
	p := &Policies{Identity: manyPolicies(b, 10)}
	b.ReportAllocs()
	var ctx Context
	for b.Loop() {
		ctx.Reset()
		if r := benchRequest(&ctx); !Decide(r, p).Allowed {
			b.Fatal("denied")
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	tokens, _ := tokenize("arn:aws:s3:::box-*/home/*/photos/*.jpg", true, false)
	b.ReportAllocs()
	for b.Loop() {
		if !match(tokens, "arn:aws:s3:::box-eu/home/alice/photos/2026/01/1.jpg", nil) {
			b.Fatal("no match")
		}
	}
}

func BenchmarkParse(b *testing.B) {
	text := manyPolicies(b, 1)[0].Policy.Text()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}

func TestDecideDoesNotAllocate(t *testing.T) {
	p := &Policies{Identity: manyPolicies(t, 10)}
	r := benchRequest(&Context{})
	if n := testing.AllocsPerRun(100, func() { Decide(r, p) }); n != 0 {
		t.Errorf("an allowed request allocates %v times", n)
	}
}
