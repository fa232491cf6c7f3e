package httpapi

import (
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// userView is a user as the API shows it.
type userView struct {
	ID            escrow.UserID        `json:"id"`
	InstitutionID escrow.InstitutionID `json:"institutionId"`
	Name          string               `json:"name,omitempty" doc:"As the last token told it."`
	Email         string               `json:"email,omitempty" doc:"As the last token told it. It does not say who somebody is."`
	Issuer        string               `json:"issuer" doc:"Who vouches for the user."`
	Subject       string               `json:"subject,omitempty" doc:"What the issuer calls the user, for ever."`
	CreatedAt     timestamp            `json:"createdAt" doc:"When the user came for the first time."`
	UpdatedAt     timestamp            `json:"updatedAt"`
	SuspendedAt   *timestamp           `json:"suspendedAt,omitempty" doc:"Left out while the user is not suspended."`
	Version       int64                `json:"version" doc:"One more with each change." minimum:"1"`
}

func viewUser(u escrow.User) userView {
	return userView{
		ID:            u.ID,
		InstitutionID: u.InstitutionID,
		Name:          u.DisplayName,
		Email:         u.Email,
		Issuer:        u.Issuer,
		Subject:       u.Subject,
		CreatedAt:     timestamp(u.JoinedAt),
		UpdatedAt:     timestamp(u.UpdatedAt),
		SuspendedAt:   (*timestamp)(u.SuspendedAt),
		Version:       u.Version,
	}
}

// userCursor is a user's place in a list.
func userCursor(u escrow.User) escrow.Cursor { return escrow.IDCursor(u.ID) }

// userQuery is the parameters of the list of users.
type userQuery struct {
	listQuery
	IncludeSuspended bool `query:"includeSuspended" doc:"true lists suspended users too." default:"false"`
}

var listUsersOperation = operation{
	Operation: web.Operation{
		ID: "listUsers", Tag: "People", Summary: "List users",
		Query: userQuery{}, Answer: listView[userView]{},
	},
}

// listUsers answers an institution's users in the order in which they came, without those who are
// suspended unless they are asked for.
func (s *server) listUsers(c *call) (reply, error) {
	query := queryOf[userQuery](c)
	list := query.read(&c.faults, "users")
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}
	filter := escrow.UserFilter{Period: list.period, IncludeSuspended: query.IncludeSuspended}
	users, err := s.engine.Users(c.context(), institution, filter, list.page)
	return listed(list, users, viewUser, userCursor), err
}

var getUserOperation = operation{
	Operation: web.Operation{
		ID: "getUser", Tag: "People", Summary: "Get a user",
		Answer: userView{}, AnswerHeaders: headers{etagHeader},
	},
	refusals: codes{escrow.CodeUserNotFound},
}

// getUser answers one user, suspended or not.
func (s *server) getUser(c *call) (reply, error) {
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}
	id, err := pathID[escrow.UserID](c, "userId", escrow.CodeUserNotFound)
	if err != nil {
		return reply{}, err
	}
	user, err := s.engine.User(c.context(), institution, id)
	if err != nil {
		return reply{}, err
	}
	return c.conditional(user.Version, func() (reply, error) { return ok(viewUser(user)), nil })
}

var suspendUserOperation = userOperation("suspendUser", "Suspend a user")

// suspendUser keeps a user out at once, on every server, and ends the sessions for good.
func (s *server) suspendUser(c *call) (reply, error) {
	id := subjectID[escrow.UserID](c, "userId", escrow.CodeUserNotFound)
	return c.changeUser(escrow.SuspendUser{User: id, IfVersion: c.versions})
}

var restoreUserOperation = userOperation("restoreUser", "Let a suspended user in again")

// restoreUser lets a suspended user in again.
func (s *server) restoreUser(c *call) (reply, error) {
	id := subjectID[escrow.UserID](c, "userId", escrow.CodeUserNotFound)
	return c.changeUser(escrow.RestoreUser{User: id, IfVersion: c.versions})
}

// userOperation describes a change of a user.
func userOperation(id, summary string) operation {
	return operation{
		Operation: web.Operation{
			ID: id, Tag: "People", Summary: summary, Answer: userView{},
			RequestHeaders: headers{ifMatchHeader}, AnswerHeaders: headers{etagHeader},
		},
		refusals: codes{escrow.CodeUserNotFound, escrow.CodeVersionMismatch},
	}
}

func (c *call) changeUser(command escrow.Command) (reply, error) {
	user, err := execute[escrow.User](c, command, nil)
	return ok(viewUser(user)).tagged(user.Version), err
}
