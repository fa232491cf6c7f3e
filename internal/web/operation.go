package web

import "net/http"

// Operation describes a method on a path.
type Operation struct {
	// ID names the operation in clients' code, Summary for people; Tag is the group that
	// it is shown in.
	ID, Tag, Summary, Description string
	// Query, Body and Answer are zero values of what it takes and gives; nil is nothing.
	// The fields of a query have a query tag, the others json tags.
	Query, Body, Answer any
	// FurtherBody and FurtherAnswer are zero values of structs whose members bodies and answers can have
	// beside their own; nil is none.
	FurtherBody, FurtherAnswer any
	// Others are what it can answer instead, by status, where that is no error.
	Others []OtherAnswer
	// BodyExample is a whole body, as JSON.
	BodyExample string
	// BodyOptional says that the body may be left out.
	BodyOptional bool
	// Status is that of an answer that is no error; 0 is 200.
	Status int
	// OtherTypes are the answer's content types where it is not JSON, or not only.
	OtherTypes []string
	// RequestHeaders and AnswerHeaders are those beside X-Request-Id and, where something
	// was created, Location.
	RequestHeaders, AnswerHeaders []Header
	// NotModified says when the answer is 304; empty is never.
	NotModified string
	// Public says that it takes no key, KeyOptional that a server may take none.
	Public, KeyOptional bool
	// Failures are the errors that it can answer, in the order in which they are told.
	Failures []Failure
	// FailureHeaders are those of errors beside X-Request-Id, by status.
	FailureHeaders map[int][]Header
}

// Header is a header with what it says.
type Header struct {
	Name, Description string
	// Always says that no answer is without it.
	Always bool
}

// OtherAnswer is an answer of another status than the usual one.
type OtherAnswer struct {
	Status      int
	Description string
	// Answer is its zero value.
	Answer  any
	Headers []Header
}

// PathParameter is a part of a path that stands for others.
type PathParameter struct {
	// Of is the zero value of what it names.
	Of any
	// Example is one that can be asked for.
	Example     string
	Description string
}

// Failure is an error that an operation can answer.
type Failure struct {
	Status        int
	Code, Meaning string
}

// AnswerStatus returns the status of an answer that is no error.
func (o Operation) AnswerStatus() int {
	if o.Status == 0 {
		return http.StatusOK
	}
	return o.Status
}
