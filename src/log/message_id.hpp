// The MESSAGE_ID of each message that asks for action. units/istio-cni-node.catalog
// has an entry for each, which journalctl -x shows: what happened, why, what to do.
//   log.warn(text, {{"MESSAGE_ID", message_id::no_credential}});
#pragma once

namespace message_id {

// --- the agent

/// a configuration that is not valid, at the start or at a reload
inline constexpr const char* configuration_refused = "f3c95789ace14954ac5d6baed2eac902";
/// a setting that is accepted and has no effect, or an unexpected one
inline constexpr const char* configuration_warning = "cbf27734ac1045258b66402800e03d2c";
/// a changed setting that a reload cannot apply
inline constexpr const char* configuration_needs_restart = "e0a3a91f23464c13bc27ed12b10877a9";
/// plugin, kubeconfig or entry could not be written
inline constexpr const char* installation_failed = "f1260ebc7d564b56b714dc919b27dbdf";
/// nothing to chain into, or not the expected file
inline constexpr const char* not_installed_yet = "6caf76a5703548ae8280ad3729a6f2e7";
/// the installation stands, with a remark about a file
inline constexpr const char* installation_warning = "3f0c9931918c40bf9670c342c6cce996";
/// another program keeps taking the entry out
inline constexpr const char* entry_contested = "004498f4b98747c18c9c26a813678d7a";
/// inotify is not available
inline constexpr const char* folders_not_watched = "0ecaf828e2f745538fcc69d79561a0d1";
/// a container runtime's configuration that cannot be used
inline constexpr const char* runtime_configuration_ignored = "73f80e52a36948b5a4414c46f147ecf9";
/// no usable credential for the API server
inline constexpr const char* no_credential = "c1af446506f142fca1010f154a9f2968";
/// list or watch of this node's pods fails
inline constexpr const char* pods_not_watched = "b459071afb8a4f9ebf72c46dca8fbe35";
/// the socket for the plugin's questions is not there
inline constexpr const char* lookup_socket_failed = "5a3c1fbdf9da4bf3a81696a68afe2312";
/// metrics or readiness cannot be served
inline constexpr const char* address_not_served = "135d63cf1293424c802a2e8f96fc5ce8";
/// the plugin's log is not shown
inline constexpr const char* log_relay_failed = "a4ea3938d4294c52810915b0875b0b21";
/// something stayed on the node
inline constexpr const char* uninstall_incomplete = "bdfaef428c7d4431b331dab129ea3a7b";
/// a broken pod is not repaired for now
inline constexpr const char* repair_held_back = "4260ce86ca964d78ba569ee452a5d423";
/// deleting, labelling or repairing a pod failed
inline constexpr const char* repair_failed = "44e767f743bb4898ac59157196f119be";
/// the record of repairs could not be read or written
inline constexpr const char* repair_record_failed = "121b742b85064feb81842394507dd1a6";

// --- the plugin

/// an annotation or variable of a pod that is ignored
inline constexpr const char* pod_setting_ignored = "23cc390c935440e38e1f39485d23d1f3";
/// the plugin asked the API server instead
inline constexpr const char* agent_not_answering = "4d1dd7de07c1437b95d0c57b811008b7";
/// the runtime passed a configuration that is not valid
inline constexpr const char* network_configuration_bad = "06f3179fec434ae0a6e144cf0b4152c8";
/// the runtime's environment for the plugin is not valid
inline constexpr const char* runtime_call_bad = "c78165de8458420c88ba29b1f8223c08";
/// neither agent nor API server gave the pod
inline constexpr const char* pod_lookup_failed = "7aa1caa066de4e968867119277832f1d";
/// install.gate refuses pods until there is a primary network
inline constexpr const char* no_primary_network = "83f11b2d9bbc4685bcc3323c673940a8";
/// an annotation cannot be used
inline constexpr const char* pod_annotation_bad = "510adc2735aa450aad7af233a7ffb088";
/// a table, match or expression is missing in the kernel
inline constexpr const char* kernel_lacks_feature = "d9a3ce9ecbc14674b12d1e51dd71029e";
/// the namespace does not hold the expected rules
inline constexpr const char* redirection_differs = "d4e9fa63331343f09fa057702e2677a6";
/// anything else
inline constexpr const char* plugin_failed = "65ae2ffda43641f3bdcb161ad81d3a39";

}  // namespace message_id
