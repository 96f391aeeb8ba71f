# fish completion for istio-cnictl. Commands and flags are those that the program itself lists.
function __istio_cnictl_commands
    istio-cnictl --help 2>/dev/null | sed -n '/^Commands/,/^$/s/^  \([a-z-]*\)  *\(.*\)/\1\t\2/p'
end
function __istio_cnictl_flags
    set -l words (commandline -opc)
    istio-cnictl $words[2] --help 2>/dev/null | string match -r '^  .*' | string match -ar -- '--[a-z][a-z0-9-]+' | sort -u
end
complete -c istio-cnictl -f
complete -c istio-cnictl -n __fish_use_subcommand -a '(__istio_cnictl_commands)'
complete -c istio-cnictl -n '__fish_seen_subcommand_from help' -a '(__istio_cnictl_commands)'
complete -c istio-cnictl -n 'not __fish_use_subcommand' -a '(__istio_cnictl_flags)'
complete -c istio-cnictl -l config -r -F
complete -c istio-cnictl -l pod -r -F
complete -c istio-cnictl -l journal-dir -r -F
complete -c istio-cnictl -l output -x -a 'text json'
complete -c istio-cnictl -l backend -x -a 'auto iptables nftables'
complete -c istio-cnictl -l ipv6 -x -a 'auto on off'
complete -c istio-cnictl -l color -x -a 'auto always never'
