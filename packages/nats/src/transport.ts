/**
 * The bare transport, for a program that counts its memory and needs no JetStream client: dial as every session does, send,
 * and hear. Loads nothing of the ports and adapters.
 */
export { connect, headers, type NatsConnection } from '@nats-io/transport-node';
export { connectOptions } from './session/connect-options.ts';
