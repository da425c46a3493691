{{/* v1beta1 for operators before 0.16, which lack v1; later ones lack v1beta1. Without a cluster to ask, v1. */}}
{{- define "service.externalsecret.api" -}}
{{- $apis := .Capabilities.APIVersions -}}
external-secrets.io/{{ ternary "v1beta1" "v1" (and ($apis.Has "external-secrets.io/v1beta1") (not ($apis.Has "external-secrets.io/v1"))) }}
{{- end -}}

{{- define "service.externalsecret" -}}
{{- $d := .Values.database -}}
{{- $e := $d.externalSecret -}}
apiVersion: {{ include "service.externalsecret.api" . }}
kind: ExternalSecret
metadata:
  name: {{ include "service.databaseSecret" . | quote }}
  namespace: {{ .Release.Namespace | quote }}
  labels:
    {{- include "service.labels" . | nindent 4 }}
spec:
  refreshInterval: {{ $e.refreshInterval | quote }}
  secretStoreRef:
    {{- if $e.storeName }}
    kind: {{ $e.storeKind | quote }}
    name: {{ $e.storeName | quote }}
    {{- else }}
    kind: SecretStore
    name: {{ include "service.databaseSecret" . | quote }}
    {{- end }}
  target:
    name: {{ include "service.databaseSecret" . | quote }}
    creationPolicy: Owner
    deletionPolicy: Retain
  data:
    - secretKey: {{ $d.passwordKey | quote }}
      remoteRef:
        key: {{ $e.key | quote }}
        property: {{ $e.property | quote }}
{{- end -}}

{{/* Rights come from the operator's own identity (EKS pod identity). */}}
{{- define "service.secretstore" -}}
apiVersion: {{ include "service.externalsecret.api" . }}
kind: SecretStore
metadata:
  name: {{ include "service.databaseSecret" . | quote }}
  namespace: {{ .Release.Namespace | quote }}
  labels:
    {{- include "service.labels" . | nindent 4 }}
spec:
  provider:
    aws:
      service: SecretsManager
      region: {{ .Values.database.externalSecret.region | quote }}
{{- end -}}
