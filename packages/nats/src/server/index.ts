/** The embedded nats-server: found or provisioned, launched, and ended for certain. */
export { type Environment, processEnvironment } from './environment.ts';
export { serverErrors } from './errors.ts';
export { type FindNatsServerOptions, findNatsServer, type NatsServerBinary } from './find/find.ts';
export { describeProgress, type FindProgress, type OnProgress, type ProvisionSource } from './find/progress.ts';
export { NATS_RELEASE, type ReleaseLocation } from './find/release.ts';
export type { ProcessExit } from './machine/held-process.ts';
export { freePort, isPortFree } from './machine/port.ts';
export { NatsCluster, type NatsClusterOptions } from './nats-cluster.ts';
export { NatsServer, type NatsServerState } from './nats-server.ts';
export type { ClusterMembership, NatsServerOptions } from './options.ts';
export type { ServerAuth } from './server-config.ts';
