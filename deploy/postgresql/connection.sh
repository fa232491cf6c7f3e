# shellcheck shell=sh
# To be sourced: moves the password in DATABASE_URL to PGPASSWORD, and sets url to the rest. Every
# user of the machine can read the arguments of programs, but not their environment.

# part prints one part of DATABASE_URL: the password, decoded, or the URL without it.
part() {
	LC_ALL=C awk -v part="$1" '
		function decoded(text,    plain, at) {
			while (at = index(text, "%")) {
				plain = plain substr(text, 1, at - 1) sprintf("%c", 16 * digit(text, at + 1) + digit(text, at + 2))
				text = substr(text, at + 3)
			}
			return plain text
		}
		function digit(text, at) { return index("0123456789abcdef", tolower(substr(text, at, 1))) - 1 }
		BEGIN {
			url = ENVIRON["DATABASE_URL"]
			password = ""
			if (match(url, "^[a-z]+://[^@/?:]*:[^@/?]*@")) {
				user = substr(url, 1, RLENGTH - 1)
				rest = substr(url, RLENGTH)
				scheme = index(user, "://") + 2
				colon = scheme + index(substr(user, scheme + 1), ":")
				password = substr(user, colon + 1)
				url = substr(user, 1, colon - 1) rest
			}
			print part == "url" ? url : decoded(password)
		}'
}
url=$(part url)
given=$(part password)
[ -z "$given" ] || export PGPASSWORD="$given"
