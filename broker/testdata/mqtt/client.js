// A client that nobody of us wrote: client.js URL VERSION [CA]. It subscribes,
// publishes at every QoS, and prints what it gets and what it was told.
const fs = require('fs')
const mqtt = require('mqtt')
const [url, version, ca] = process.argv.slice(2)
const five = version === '5'
const client = mqtt.connect(url, {
  protocolVersion: Number(version), clientId: 'js', clean: true, reconnectPeriod: 0, connectTimeout: 10000,
  ca: ca ? fs.readFileSync(ca) : undefined,
  properties: five ? { receiveMaximum: 2, sessionExpiryInterval: 60 } : undefined,
  will: { topic: 'js/will', payload: 'gone', qos: 1, retain: false },
})
const say = (...words) => console.log(words.join(' '))
let left = 3
client.on('error', e => { say('error', e.message); process.exit(1) })
client.on('connect', c => {
  say('connected', c.sessionPresent)
  client.subscribe('js/#', { qos: 2, properties: five ? { subscriptionIdentifier: 7 } : undefined }, (err, granted) => {
    say('granted', granted.map(g => g.qos))
    for (const qos of [0, 1, 2]) {
      client.publish('js/t', 'm' + qos, { qos, properties: five ? { userProperties: { k: 'v' } } : undefined })
    }
  })
})
client.on('message', (topic, payload, p) => {
  const props = p.properties || {}
  say(topic, payload, p.qos, props.subscriptionIdentifier || '-', (props.userProperties || {}).k || '-')
  if (--left === 0) client.end(false, {}, () => say('ended'))
})
