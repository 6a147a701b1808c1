// Tokens and keys that another implementation made: PyJWT 2.15 with keys thrown away since. The claims are those of
// ValidClaims in jwt_test.cc.
#ifndef MESHCA_TEST_CA_JWT_JWT_VECTORS_H_
#define MESHCA_TEST_CA_JWT_JWT_VECTORS_H_

namespace meshca {

constexpr char kVectorJwks[] = R"({
 "keys": [
  {
   "kty": "RSA",
   "n": "ovt16oOyFSUL--ygxfk83SQqpHtXHcbvTdJEoUJ83P_dZEnbJDCxig3UnZNvcjHrKn85J6UwAFdSCFc-L1Dv57AC0zJfpQ0cwxBX1WKSDUMd_1s_Am-xZoqp31foAdMYI-VezpFhNZkbw9RiO9FW1RW9fOcTUT0ln-C55x01KcL4top2AR_vpsrFnIauEPHuewB7xI0DvrIaRc-EPEuuGs5yK_44woUlbLsOlYjJ9-kqvcXDBLHEdgNtyzRheW6TQWbqSu7dZ28to8_IFetRUcIeuE2IrNU4TxEWTscj4H9O4zC03GydwORglCWGzl1p545HjejqV5Z9zw0KRUba5w",
   "e": "AQAB",
   "kid": "rsa",
   "use": "sig"
  },
  {
   "kty": "EC",
   "crv": "P-256",
   "x": "24q4y-92uTNeR4DijRdqeC6g0ruMYuIEJQvzdGEYPag",
   "y": "19sDqevOMDKODO7jKkNw6uUNg4dTQ-ySRdPMBmxrsRM",
   "kid": "p256",
   "use": "sig"
  },
  {
   "kty": "EC",
   "crv": "P-384",
   "x": "nYtyBr4LVntl7aErOiyDaC2kuIEYHUHJVsoWDEmsu0N8To758AK_5mn_SSBh5iPz",
   "y": "FkS5jfYZaqWlTbTLvsDdRWNuIJERyr7Hn9RzKpnUgTGuATGr3VuJ1mGUkUcf4s_X",
   "kid": "p384",
   "use": "sig"
  },
  {
   "x": "21jsIB0Cs7jABS4IpJ6YO0m3kCQqkVkaITrYscMqj8k",
   "kty": "OKP",
   "crv": "Ed25519",
   "kid": "ed",
   "use": "sig"
  },
  {
   "kty": "oct-like-unknown",
   "kid": "other"
  },
  {
   "kty": "EC",
   "crv": "P-521",
   "kid": "p521",
   "x": "AA",
   "y": "AA"
  }
 ]
})";
constexpr char kVectorRs256[] =
    R"(eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN0Iiwic3ViIjoid2ViIiwiYXVkIjpbImlzdGlvLWNhIl0sImlhdCI6MTc2NzMyMzA0NSwibmJmIjoxNzY3MzIzMDQ1LCJleHAiOjE3NjczMjY2NDUsIm5zIjoiZGVmYXVsdCIsInNhIjoid2ViIn0.DLZPlYc3AiqN00uQNo8e6Pfjn7BOkatjTm3kmXgoJa6Dgg2-KWflU3X_MPdB5Vskx2WEpqYh99EYisx3JaU0paIFJCel9IxdhqTXUDBw4avuR8ntz4a7RiNzRc2J4Df2PUzDN0Dm4E06uWa_p3pKhEUB5_0vdWAFFckXUfmaLww2sEvvUv6EzICiwrXkD3XiH3xIIgUAHc1ATrD90rUujNV8yT6kcjnJCCFtQp2buM10aKeEgdCl7-0W7ymNYWruihPTHYcfd3dZA63f8ZwqMMfJV5ByLHLpobKU77ccm1wgz8atz1O5XEo-PBrUAYYZUO_Mmvndd9rIi4k3atGT2g)";
constexpr char kVectorPs256[] =
    R"(eyJhbGciOiJQUzI1NiIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN0Iiwic3ViIjoid2ViIiwiYXVkIjpbImlzdGlvLWNhIl0sImlhdCI6MTc2NzMyMzA0NSwibmJmIjoxNzY3MzIzMDQ1LCJleHAiOjE3NjczMjY2NDUsIm5zIjoiZGVmYXVsdCIsInNhIjoid2ViIn0.BgTEk4lJMbBPbzLYudssuLIxq60QcdumdrAf48g_VXDkpHIaGBnHtUaaKtwYcEVfokb8pzp_n8UP6qvsWVQvWi4XK0vnPV3ceD4_p7WYaGXWOJOF6V33O86-bnc1YJCWe2nZyLfFWeHapPhhhMWuR9fHmJMe5MRiP3XS1kMskUYd-WvH4Qr9J_FKJ8Nv3VkE5sK6pbnt93n3cQb7LG4pa2NZwkoWIHfJ2QpTuhXP14VHUg2rWpDaFHFPQaX-rmveKyv2teJMa52vMoh2UixYpOkqYXcBG29VV8ckiGq0AFExPJNLncjxPkkx_CVuxaylDr90ozRXQ0V1WsBfzeGejg)";
constexpr char kVectorEs256[] =
    R"(eyJhbGciOiJFUzI1NiIsImtpZCI6InAyNTYiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN0Iiwic3ViIjoid2ViIiwiYXVkIjpbImlzdGlvLWNhIl0sImlhdCI6MTc2NzMyMzA0NSwibmJmIjoxNzY3MzIzMDQ1LCJleHAiOjE3NjczMjY2NDUsIm5zIjoiZGVmYXVsdCIsInNhIjoid2ViIn0.kCj_Bk-8GydXpTBMBjH4--QKhH5WLdRhVos4mYi4fwJeVp2PhAsY0XRoycgggag-xU1strxD9PiOjrLWtHqdbA)";
constexpr char kVectorEs384[] =
    R"(eyJhbGciOiJFUzM4NCIsImtpZCI6InAzODQiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN0Iiwic3ViIjoid2ViIiwiYXVkIjpbImlzdGlvLWNhIl0sImlhdCI6MTc2NzMyMzA0NSwibmJmIjoxNzY3MzIzMDQ1LCJleHAiOjE3NjczMjY2NDUsIm5zIjoiZGVmYXVsdCIsInNhIjoid2ViIn0.EZlAFXm1AOerUY3WkSBcBnVZ_21AXKWbTSrRHJtDbbXtLuq3w0yNlT2sOOhPGgEX_UVcPabjKhljAvqS8t0_WD1UeY_FJ0_lPvH7XWQe30Aux8GKLpZt2_gnTkZS3lap)";
constexpr char kVectorEdDsa[] =
    R"(eyJhbGciOiJFZERTQSIsImtpZCI6ImVkIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN0Iiwic3ViIjoid2ViIiwiYXVkIjpbImlzdGlvLWNhIl0sImlhdCI6MTc2NzMyMzA0NSwibmJmIjoxNzY3MzIzMDQ1LCJleHAiOjE3NjczMjY2NDUsIm5zIjoiZGVmYXVsdCIsInNhIjoid2ViIn0.y58I2t-QuSOxQeaKCkGvuxNfPnovbtttN2_mrhh0SpJgY36bgA0m7M5gWk4wscXUKm5chKsxiLOEdxbjlctWBw)";

// The RSA key, as PEM, taken for an HMAC secret: the classic confusion of algorithms.
constexpr char kVectorHmacWithPublicKey[] =
    R"(eyJhbGciOiAiSFMyNTYiLCAia2lkIjogInJzYSIsICJ0eXAiOiAiSldUIn0.eyJpc3MiOiAiaHR0cHM6Ly9pc3N1ZXIudGVzdCIsICJzdWIiOiAid2ViIiwgImF1ZCI6IFsiaXN0aW8tY2EiXSwgImlhdCI6IDE3NjczMjMwNDUsICJuYmYiOiAxNzY3MzIzMDQ1LCAiZXhwIjogMTc2NzMyNjY0NSwgIm5zIjogImRlZmF1bHQiLCAic2EiOiAid2ViIn0.g25YPZZpeIXsk1jkr2zUtnaVpCgcmA7Tg1amzn3PouQ)";
constexpr char kVectorNone[] =
    R"(eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN0Iiwic3ViIjoid2ViIiwiYXVkIjpbImlzdGlvLWNhIl0sImlhdCI6MTc2NzMyMzA0NSwibmJmIjoxNzY3MzIzMDQ1LCJleHAiOjE3NjczMjY2NDUsIm5zIjoiZGVmYXVsdCIsInNhIjoid2ViIn0.)";

}  // namespace meshca

#endif  // MESHCA_TEST_CA_JWT_JWT_VECTORS_H_
