"""The keys of JWT-SVIDs by command, and tokens judged by somebody else's code from the published bundle."""

import json
import time

import jwt
import pytest
from background import wait_until

WEB = "spiffe://cluster.local/ns/default/sa/web"
QUICK = ("--rotation-settle", "300ms")


def keys(ca, *args):
    return json.loads(ca.cli("jwt", "keys", *args, "-o", "json").stdout)


def states(ca):
    return {key["key_id"]: key["state"] for key in keys(ca, "--all")["keys"]}


def published(ca):
    """The jwt-svid keys of the SPIFFE bundle, by kid."""
    bundle = json.loads(ca.cli("bundle", "show", "--format", "spiffe").stdout)
    assert all(key["use"] in ("x509-svid", "jwt-svid") for key in bundle["keys"])
    return {key["kid"]: jwt.PyJWK(key, algorithm="ES256") for key in bundle["keys"] if key["use"] == "jwt-svid"}


def mint(ca, *args):
    return ca.cli("jwt", "mint", WEB, *args).stdout.strip()


def validate(ca, token, audience):
    """PyJWT's claims of `token`, verified by nothing but the bundle."""
    kid = jwt.get_unverified_header(token)["kid"]
    known = published(ca)
    if kid not in known:
        raise jwt.InvalidKeyError(kid)
    return jwt.decode(token, known[kid], algorithms=["ES256"], audience=audience,
                      options={"require": ["exp", "iat", "aud", "sub"]})


def audited(ca, action):
    return [line for line in json.loads(ca.cli("audit", "list", "-o", "json").stdout) if line["action"] == action]


def test_a_minted_token_verifies_by_the_published_bundle_and_says_no_more_than_the_standard(server):
    ca = server()
    before = time.time()
    token = mint(ca, "--audience", "api", "--audience", "spiffe://cluster.local/db", "--ttl", "90s")
    claims = validate(ca, token, "api")
    assert set(claims) == {"sub", "aud", "exp", "iat"}
    assert claims["sub"] == WEB and claims["aud"] == ["api", "spiffe://cluster.local/db"]
    assert claims["exp"] - claims["iat"] == 90 and before - 1 <= claims["iat"] <= time.time()
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "typ": "JWT", "kid": keys(ca)["signing_key_id"]}
    with pytest.raises(jwt.InvalidAudienceError):
        validate(ca, token, "somebody else")
    assert keys(ca)["minted"] == 1
    (line,) = audited(ca, "jwt.mint")
    assert line["target"] == WEB and "api" in line["detail"] and token not in json.dumps(line)
    whole = json.loads(ca.cli("jwt", "mint", WEB, "--audience", "api", "-o", "json").stdout)
    assert set(whole) == {"token", "key_id", "expires_at"}
    claims = validate(ca, whole["token"], "api")
    assert claims["exp"] - claims["iat"] == 300, "five minutes is what a token lives"


def test_a_token_by_a_file_is_its_owners_alone_and_nothing_is_printed(server, tmp_path):
    ca = server()
    done = ca.cli("jwt", "mint", WEB, "--audience", "api", "--out", tmp_path / "token")
    assert done.stdout == ""
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
    token = (tmp_path / "token").read_text(encoding="ascii").strip()
    assert validate(ca, token, "api")["sub"] == WEB
    assert token not in done.stderr
    assert token.split(".")[2] not in ca.log()


@pytest.mark.parametrize(("args", "words"), [
    (["spiffe://cluster.local/meshca/server", "--audience", "a"], "meshca's own"),
    (["spiffe://other.test/web", "--audience", "a"], "trust domain cluster.local"),
    (["spiffe://cluster.local", "--audience", "a"], "path"),
    (["web", "--audience", "a"], "SPIFFE ID"),
    ([WEB, "--audience", ""], "audience"),
    ([WEB, "--audience", "a", "--ttl", "6m"], "5m"),
    ([WEB, "--audience", "a", "--ttl", "0s"], "1s"),
], ids=["reserved", "foreign", "no-path", "no-id", "empty-audience", "too-long", "no-life"])
def test_what_no_token_is_made_for_is_refused_with_words(server, args, words):
    ca = server()
    done = ca.cli("jwt", "mint", *args, check=False)
    assert done.returncode in (1, 2) and words in done.stderr, done.stderr
    assert keys(ca)["minted"] == 0


def test_an_audience_is_asked_for(server):
    ca = server()
    done = ca.cli("jwt", "mint", WEB, check=False)
    assert done.returncode == 2 and "--audience" in done.stderr


def test_the_next_key_is_published_first_and_signs_by_itself(server):
    ca = server(*QUICK)
    (first,) = states(ca)
    token = mint(ca, "--audience", "api")
    answer = ca.cli("jwt", "rotate")
    assert "signs by itself" in answer.stderr
    wait_until(lambda: "old" in states(ca).values(), 60, lambda: states(ca))
    after = states(ca)
    assert after.pop(first) == "old"
    (second,) = after
    assert after[second] == "active" and set(published(ca)) == {first, second}
    assert validate(ca, token, "api")["sub"] == WEB, "what the old key signed is good until it ends"
    assert jwt.get_unverified_header(mint(ca, "--audience", "api"))["kid"] == second
    assert [line["target"] for line in audited(ca, "jwt.publish")] == [second]
    assert [line["target"] for line in audited(ca, "jwt.activate")] == [first, second]
    ca.kill()
    ca.start()
    assert states(ca) == {first: "old", second: "active"}
    assert validate(ca, token, "api")["sub"] == WEB


def test_a_second_next_key_is_refused_while_one_settles(server):
    ca = server("--rotation-settle", "1h")
    ca.cli("jwt", "rotate")
    refused = ca.cli("jwt", "rotate", check=False)
    assert refused.returncode == 3 and "JWT_ROTATION_RUNS" in refused.stderr
    shown = ca.cli("jwt", "keys").stdout
    assert "prepared" in shown and "settling" in shown
    assert keys(ca)["next_rotation"] is None


def test_a_tainted_key_is_out_of_trust_at_once_and_another_signs(server):
    ca = server()
    (stolen,) = states(ca)
    token = mint(ca, "--audience", "api")
    validate(ca, token, "api")
    ca.cli("jwt", "taint", stolen[:8])
    assert stolen not in published(ca)
    with pytest.raises(jwt.InvalidKeyError):
        validate(ca, token, "api")
    validate(ca, mint(ca, "--audience", "api"), "api")
    shown = {key["key_id"]: key for key in keys(ca, "--all")["keys"]}
    assert shown[stolen]["tainted"] and shown[stolen]["state"] == "retired"
    again = ca.cli("jwt", "taint", stolen, check=False)
    assert again.returncode == 3 and "tainted already" in again.stderr
    unknown = ca.cli("jwt", "taint", "A" * 43, check=False)
    assert unknown.returncode == 1 and "meshca jwt keys" in unknown.stderr
    assert len(audited(ca, "jwt.taint")) == 1


def test_the_doctor_and_the_metrics_know_the_keys(server):
    ca = server()
    facts = json.loads(ca.cli("check", "-o", "json").stdout)["facts"]
    (fact,) = [fact for fact in facts if fact["name"] == "keys of JWT-SVIDs"]
    assert fact["state"] == "ok" and keys(ca)["signing_key_id"] in fact["detail"]
    mint(ca, "--audience", "api")
    ca.cli("jwt", "mint", WEB, "--audience", "", check=False)
    metrics = ca.get("/metrics")
    for line in ('meshca_jwt_keys{state="active"} 1', "meshca_jwt_signing 1", "meshca_jwt_svids_total 1",
                 'meshca_jwt_svid_errors_total{why="request"} 1', "meshca_jwt_rotation_subscribers_behind 0"):
        assert line in metrics, metrics
    shown = ca.cli("bundle", "show").stdout
    assert keys(ca)["signing_key_id"] in shown
