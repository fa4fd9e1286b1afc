// Package mongotest gives integration tests a MongoDB server to speak to: the
// one of HAPPYCODE_TEST_MONGO_URI, or a mongod found on PATH, or the stand-in
// in the folder ferretdb, which is built on first use.
//
// Its functions are there with the build tag integration.
package mongotest
