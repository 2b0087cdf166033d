/** The error codes of this package. External errors are recognised here, by code, and nowhere above. */
import { defineErrors } from '@canopy/core';

export const natsErrors = defineErrors({
  KV_CONFLICT: {
    message: 'bucket {bucket}: key "{key}" was written by somebody else (expected revision {expected})',
    hint: 'Read the key again and decide anew.',
  },
  KV_VALUE_TOO_LARGE: {
    message: 'bucket {bucket}: the value of "{key}" has {size} bytes, the server takes {limit}',
    hint: 'Keep large data in an object bucket and its name in the key.',
  },
  NAME_REFUSED: { message: '{kind} "{name}" is not allowed', hint: 'Allowed: {allowed}.' },
  KV_BUCKET_MISSING: {
    message: 'KV bucket {bucket} does not exist',
    hint: 'It is made by the first node of the platform. Check the platform name and the NATS account. If it was deleted, stop the nodes and restore the stream KV_{bucket} from a backup: an empty one would not know the latest epochs.',
  },
  KV_BUCKET_MISMATCH: {
    message: 'KV bucket {bucket} has {field} = {actual}, but {expected} is needed',
    hint: 'Another program or an older configuration made it. Give the same options everywhere, or use another platform name.',
  },
  BLOB_EXISTS: {
    message: 'bucket {bucket}: object "{name}" exists already',
    hint: 'Somebody else wrote it first; nothing was overwritten.',
  },
  BLOB_CORRUPT: {
    message: 'bucket {bucket}: object "{name}" does not match its digest',
    hint: 'The stored bytes are damaged. Restore the stream from a replica or a backup.',
  },
  BLOB_GONE: {
    message: 'bucket {bucket}: object "{name}" was deleted or replaced while it was read',
    hint: 'Look it up again.',
    retryable: true,
  },
  BLOB_TOO_LARGE: { message: 'bucket {bucket}: object "{name}" has {size} bytes, more than the {limit} allowed here' },
  BLOB_BUCKET_MISSING: {
    message: 'object bucket {bucket} does not exist',
    hint: 'A missing bucket is never taken for an empty one. Check its name (of an app: those of platform and app; of --store: what follows the slash); if it was deleted, restore it from a backup. A database that is to leave its log for a new one goes without its -canopy directory.',
  },
  BUCKET_FULL: {
    message: 'bucket {bucket} has reached its size limit',
    hint: 'Raise max_bytes of the stream, or delete old snapshots; writes go on by themselves afterwards.',
    retryable: true,
  },
  NATS_STORAGE_FULL: {
    message: 'the NATS server has no storage left for stream {stream} ({reason})',
    hint: 'Delete what is no longer needed from its streams, or make room on its disk, raise max_file_store of its jetstream block (without one it is set from what is free when the server starts), and restart it. Nothing was stored.',
    retryable: true,
  },
  STREAM_MISSING: {
    message: 'stream {stream} does not exist, or was made anew',
    hint: 'A missing stream is never taken for an empty one. Check its name and the NATS account; if it was deleted, its readers must not go on with another of that name.',
  },
  STREAM_MISMATCH: {
    message: 'stream {stream} has {field} = {actual}, but {expected} is needed',
    hint: 'Another program or an older configuration made it. Give the same options everywhere, or use another name.',
  },
  STREAM_CONFLICT: {
    message: 'stream {stream}: its last sequence is not {expected}',
    hint: 'Somebody else appended. Read on, and decide anew; nothing was stored.',
  },
  STREAM_FULL: {
    message: 'stream {stream} has reached its size limit',
    hint: 'Raise its max_bytes, or trim what is no longer needed. Nothing was stored.',
    retryable: true,
  },
  STREAM_BUSY: {
    message: 'stream {stream}: {waiting} appends wait already',
    hint: 'Await some of them before more are begun. Nothing was stored.',
    retryable: true,
  },
  STREAM_MESSAGE_TOO_LARGE: {
    message: 'stream {stream}: the message has {size} bytes, the server takes {limit}',
    hint: 'Keep large data in an object bucket and its name in the message.',
  },
  STREAM_CONSUMER_MISSING: {
    message: 'stream {stream} has no consumer {consumer}',
    hint: 'It was removed, and its position with it. Open it again, behind what was processed.',
  },
  BUS_NO_RESPONDERS: {
    message: 'nobody listens on {subject}',
    hint: 'The node or app that serves it is not running.',
    retryable: true,
  },
  BUS_PAYLOAD_TOO_LARGE: { message: 'message to {subject} has {size} bytes, the server takes {limit}' },
  NATS_UNREACHABLE: {
    message: 'no NATS server answers at {servers}',
    hint: 'Check that the server runs and that the URL (NATS_URL, --server) is right.',
    retryable: true,
  },
  NATS_AUTH: {
    message: 'the NATS server at {servers} refused the credentials',
    hint: 'Check user, password, token or the .creds file.',
  },
  NATS_CREDENTIALS_UNREADABLE: {
    message: 'the credentials file {file} cannot be read: {reason}',
    hint: 'Check the path and its permissions.',
  },
  NATS_URL_INVALID: {
    message: '"{url}" is not a NATS URL',
    hint: 'Write nats://host:4222 (or tls://host:4222), several separated by commas.',
  },
  NATS_CLOSED: { message: 'the NATS session is closed' },
  NATS_PERMISSION: {
    message: 'the NATS server does not allow {operation}',
    hint: 'Let this user publish and subscribe to $JS.API.>, $KV.>, $O.>, $JS.ACK.>, _INBOX.> and the subjects that begin with the name of the platform.',
  },
  JETSTREAM_DISABLED: {
    message: 'JetStream is off on the NATS server at {servers}',
    hint: 'Start nats-server with -js, or add a jetstream block to its configuration.',
  },
  JETSTREAM_UNAVAILABLE: {
    message: 'JetStream does not answer for {operation}',
    hint: 'Usually an election inside the NATS cluster that ends within seconds, or too few servers for a quorum.',
    retryable: true,
  },
  NATS_SERVER_TOO_OLD: { message: 'nats-server {version} is too old', hint: 'Version 2.10 or newer is needed.' },
  NATS_SERVER_MISSING: {
    message: 'no nats-server was found, and none could be provisioned: {reason}',
    hint: "Install nats-server 2.10 or newer (a package, or the NATS project's release) and put it on PATH, or name it in CANOPY_NATS_SERVER.",
  },
  NATS_SERVER_EXITED: { message: 'nats-server ended during start: {reason}', hint: 'Its log: {logFile}' },
  NATS_SERVER_NOT_READY: { message: 'nats-server did not get ready within {timeoutMs} ms', hint: 'Its log: {logFile}' },
  PORT_TAKEN: {
    message: 'port {port} on {host} is taken',
    hint: 'Stop what listens there, or choose another port (0 picks a free one).',
  },
});
