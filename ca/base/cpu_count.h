// How many CPUs this process may use.
#ifndef MESHCA_CA_BASE_CPU_COUNT_H_
#define MESHCA_CA_BASE_CPU_COUNT_H_

namespace meshca {

// At least 1: the CPUs of this process's affinity mask (taskset, cpuset), at most as many as its control group's quota
// (cgroup v2 cpu.max, rounded up) pays for. A thread more than that only takes turns with the others.
// std::thread::hardware_concurrency knows of neither. Read anew at each call.
int CpuCount();

}  // namespace meshca

#endif  // MESHCA_CA_BASE_CPU_COUNT_H_
