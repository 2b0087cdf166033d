/** What other programs of the workspace (the demo, the benchmarks) use of the command line. */
export { type AppTemplates, exampleTemplates, fileTemplates } from './cluster/example.ts';
export { LocalCluster, type LocalClusterOptions, type LocalNode } from './cluster/local-cluster.ts';
export { NodeProcess } from './cluster/node-process.ts';
export { cliErrors } from './errors.ts';
export { EXIT, exitCodeOf } from './exit-codes.ts';
export { pinoLogger } from './observe/pino-logger.ts';
export { renderFacts, renderTable } from './output/table.ts';
export { type Invocation, runCli } from './program.ts';
