/** Everything real for tests. Nothing here knows a test framework; all of it works with `await using`. */
export { type ChildExit, ChildNode, type SpawnNodeOptions, spawnNode } from './child-node.ts';
export { type EventuallyOptions, eventually } from './eventually.ts';
export { freePort } from './free-port.ts';
export {
  intervalsOverlap,
  type LeadershipInterval,
  type LeadershipViolation,
  leadershipViolations,
} from './leadership.ts';
export {
  natsServerBinary,
  type OnCleanup,
  type TestNatsCluster,
  type TestNatsClusterOptions,
  type TestNatsServer,
  type TestNatsServerOptions,
  testNatsCluster,
  testNatsServer,
} from './nats.ts';
export { freezeTree, killTree, processState, processTree, signalProcess, thawTree } from './process-tree.ts';
export { type CpuUse, cpuOf, type MemoryUse, memoryOf } from './process-usage.ts';
export { canMountTmpfs, canReachApt, hasNetworkNamespaces, hasProcfs } from './skip-reason.ts';
export { type Direction, TcpProxy } from './tcp-proxy.ts';
export { type TemporaryDirectory, temporaryDirectory } from './temporary-directory.ts';
export { type TinyFilesystem, tinyFilesystem } from './tiny-filesystem.ts';
