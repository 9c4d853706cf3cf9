// Package prototest runs the protocol test vectors of the AWS SDKs through the
// same generated code and the same server that the services get.
package prototest
