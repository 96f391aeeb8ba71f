# fish completion for istio-cni-node. The flags are those that the program itself lists.
function __istio_cni_node_flags
    istio-cni-node --help 2>/dev/null | string replace -rf '^  (--[a-z0-9-]*) .*' '$1'
end
complete -c istio-cni-node -f
complete -c istio-cni-node -n __fish_use_subcommand -a run -d 'run the agent'
complete -c istio-cni-node -n __fish_use_subcommand -a check-config -d 'check the configuration, or the files given'
complete -c istio-cni-node -n __fish_use_subcommand -a print-config -d 'show every setting and where its value came from'
complete -c istio-cni-node -n __fish_use_subcommand -a uninstall -d 'take plugin and configuration out of this node'
complete -c istio-cni-node -n __fish_use_subcommand -a version -d 'show the version'
complete -c istio-cni-node -n '__fish_seen_subcommand_from check-config' -F
complete -c istio-cni-node -l config -r -F -d 'configuration file'
complete -c istio-cni-node -n 'string match -q -- "-*" (commandline -ct)' -a '(__istio_cni_node_flags)'
