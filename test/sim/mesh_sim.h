// A whole mesh on one thread, driven by one seed: a CA that rotates its root and its JWT keys, subscribers that lag,
// vanish, refuse and come back, foreign clients, operators who try everything, crashes at any commit, a full disk and
// clocks that jump.
#ifndef MESHCA_TEST_SIM_MESH_SIM_H_
#define MESHCA_TEST_SIM_MESH_SIM_H_

#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "ca/authority/authority_manager.h"
#include "ca/authority/jwt_key_driver.h"
#include "ca/authority/rotation_driver.h"
#include "ca/subscribers/subscriber_registry.h"
#include "test/fakes/counting_entropy.h"
#include "test/fakes/fake_clock.h"
#include "test/fakes/fake_key_store.h"
#include "test/fakes/forwarding_authority_store.h"
#include "test/fakes/memory_store.h"

namespace meshca {

// AuthorityStore's commits fail when told to: before they are applied, or after, when nobody hears of it.
class CrashingStore final : public ForwardingAuthorityStore {
 public:
  explicit CrashingStore(MemoryStore& store) : store_(store) {}

  absl::StatusOr<uint64_t> CommitAuthorities(const AuthorityChange& change) override;

  enum class Crash { kNever, kBefore, kAfter };
  Crash next = Crash::kNever;
  bool crashed = false;  // the process is dead from then on

 private:
  AuthorityStore& inner() override { return store_; }

  MemoryStore& store_;
};

// A JWT-SVID as its holder shows it.
struct SimToken {
  std::string key_id;
  absl::Time expires_at;
};

// A certificate as its holder shows it: the root it leads to, and the one the cross-certificate in its chain leads to.
struct SimLeaf {
  std::string serial;
  std::string authority_id;
  std::string root;
  std::string cross_root;  // "" without one
  absl::Time not_after;
  uint64_t generation = 0;
};

// One proxy, or one foreign client (which takes nothing from SDS and gets its roots with its certificate).
struct SimHolder {
  std::string name;
  SubscriberRegistry::Member member;  // its stream, while it is connected
  bool foreign = false;
  bool connected = true;
  bool refuses = false;  // answers bundles with a NACK
  bool evicted = false;
  uint64_t acknowledged = 0;       // bundle
  std::set<std::string> roots;     // what it verifies peers with; empty: nothing yet
  std::set<std::string> jwt_keys;  // the same for tokens, by kid; foreign clients take none
  std::optional<SimToken> token;   // what it shows its peers
  std::optional<SimLeaf> leaf;     // what it shows its peers
  std::optional<SimLeaf> sent;     // a key on its way to it
  bool reissue = false;
  absl::Time certificate_expires = absl::InfinitePast();
};

// Every subscriber of `registry` takes JWT keys with its roots.
class SimEvidence final : public EvidenceSource {
 public:
  explicit SimEvidence(const SubscriberRegistry& registry) : registry_(registry) {}
  std::vector<SubscriberRecord> List() const override;

 private:
  const SubscriberRegistry& registry_;
};

// Who acknowledged what is kept by the server's own registry: what that forgets, the rotation does not know.
class MeshSim final : public KeyReissuer {
 public:
  explicit MeshSim(uint64_t seed);
  ~MeshSim() override;

  // Lives through `steps` of at most ten minutes, then removes every cause of trouble and lets the rotation that runs
  // end. "" when every invariant held; otherwise what broke and when.
  std::string Run(int steps);

  int rotations() const { return rotations_; }  // that ended
  int jwt_rotations() const { return static_cast<int>(jwt_signers_.size()) - 1; }
  const std::vector<std::string>& events() const { return events_; }

  Progress Reissue(absl::FunctionRef<bool(absl::string_view)> stale, double per_second) override;

 private:
  void StartServer();
  void EndServer();
  void Connect(SimHolder& holder);
  void Acknowledge(SimHolder& holder);
  // The clock is wrong for a moment, between two looks of the authorities, and right again.
  void Glitch();
  void Step();
  void Trouble();
  void Operate();
  void Live(SimHolder& holder);
  void Serve(SimHolder& holder);
  std::optional<SimLeaf> Issue(const SimHolder& holder);
  void Tick();
  void Look(bool was_frozen);
  void LookAtPeers();
  void LookAtTokens();
  void LookAtRotation(bool was_frozen);
  std::set<std::string> PublishedRoots() const;
  std::set<std::string> PublishedJwtKeys() const;
  void Mint(SimHolder& holder);
  bool Chance(double probability) { return std::bernoulli_distribution(probability)(random_); }
  void Note(std::string event);
  void Broken(std::string what);

  std::mt19937_64 random_;
  FakeClock clock_;
  CountingEntropy entropy_;
  FakeKeyStore keys_;
  MemoryStore memory_;
  CrashingStore store_{memory_};
  std::unique_ptr<AuthorityManager> manager_;
  std::unique_ptr<SubscriberRegistry> registry_;
  std::unique_ptr<SimEvidence> evidence_;
  std::unique_ptr<RotationDriver> driver_;
  std::unique_ptr<JwtKeyDriver> jwt_driver_;
  std::vector<SimHolder> holders_;
  absl::Duration skipped_;  // how far the server's clock is ahead of the truth
  int disk_full_ = 0;       // steps left
  bool calm_ = false;       // nothing goes wrong any more
  int named_ = 0;
  uint64_t generation_ = 0;  // of the newest key
  int rotations_ = 0;
  std::set<std::string> jwt_signers_;  // by kid
  // Who was remembered when the key with this kid began to sign.
  std::map<std::string, std::set<std::string>> judged_for_;
  std::optional<RootRotation> last_;
  uint64_t last_sequence_ = 0;
  std::vector<std::string> events_;
  std::string broken_;
};

}  // namespace meshca

#endif  // MESHCA_TEST_SIM_MESH_SIM_H_
